// The inputs in tests/fuzz/corpus, once through their fuzz target, in every build: what fuzzing has found once stays
// found. Each input runs in a process of its own, so that a crash names its file and hides no other.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

[[noreturn]] void run_and_exit(const std::vector<std::uint8_t>& input) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
    std::exit(0);
}

TEST(Corpus, RunsThroughItsFuzzTarget) {
    std::size_t inputs = 0;
    for (const auto& file : std::filesystem::directory_iterator(BOARDBUS_CORPUS)) {
        const auto input = bytes_of(file.path());
        EXPECT_EXIT(run_and_exit(input), testing::ExitedWithCode(0), "") << file.path();
        ++inputs;
    }
    EXPECT_GT(inputs, 10U) << BOARDBUS_CORPUS;
}

TEST(Corpus, IsFollowedByTheEmptyInput) {
    EXPECT_EQ(LLVMFuzzerTestOneInput(nullptr, 0), 0);
}

}  // namespace
