// SPDX-License-Identifier: Apache-2.0
#include "cli/config_env_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace boardbus::cli {
namespace {

using testing::HasSubstr;

std::string value_of(std::string_view text) {
    const auto variables = parse_env_file(text);
    return variables && variables->contains("A") ? variables->at("A") : "(none)";
}

TEST(EnvFile, ReadsWhatDotenvReads) {
    EXPECT_EQ(value_of("A=1"), "1");
    EXPECT_EQ(value_of("  export A = 1 \r\n"), "1");
    EXPECT_EQ(value_of("\xEF\xBB\xBF"
                       "A=1\n"),
              "1");
    EXPECT_EQ(value_of("# A=0\n\nA=1\n"), "1");
    EXPECT_EQ(value_of("A=1\nA=2\n"), "2");
    EXPECT_EQ(value_of("A="), "");
    EXPECT_EQ(value_of("A=a b=c"), "a b=c");
    EXPECT_EQ(value_of("A=amqp://u:p#x@h/  # the broker"), "amqp://u:p#x@h/");
    EXPECT_EQ(value_of("A=# nothing"), "");
}

TEST(EnvFile, QuotesAreTakenOffAndNothingIsInterpolated) {
    EXPECT_EQ(value_of(R"(A="x # y"  # z)"), "x # y");
    EXPECT_EQ(value_of(R"(A="q\"\n\\\$HOME \d")"), "q\"\n\\$HOME \\d");
    EXPECT_EQ(value_of(R"(A='\n $HOME "')"), "\\n $HOME \"");
    EXPECT_EQ(value_of("A=${HOME}"), "${HOME}");
}

TEST(EnvFile, NamesTheLineThatIsWrongButNotItsContent) {
    for (const auto* line : {"SECRET", "=SECRET", "SE-CRET=1", "A=\"SECRET", "A='SECRET' SECRET"}) {
        const auto variables = parse_env_file("B=1\n" + std::string(line));

        ASSERT_FALSE(variables) << line;
        EXPECT_THAT(variables.error().detail, HasSubstr("line 2: "));
        EXPECT_THAT(variables.error().detail, Not(HasSubstr("SECRET")));
    }
}

TEST(EnvFile, AFileThatIsMissingOrHugeIsNamed) {
    const auto missing = read_env_file("/nonexistent/.env");
    const auto directory = read_env_file("/tmp");
    const std::string path = testing::TempDir() + "huge.env";
    std::ofstream(path) << "#" << std::string(2 << 20, 'x');
    const auto huge = read_env_file(path);
    std::remove(path.c_str());

    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().detail, "/nonexistent/.env: No such file or directory");
    ASSERT_FALSE(directory);
    ASSERT_FALSE(huge);
    EXPECT_THAT(huge.error().detail, HasSubstr("longer than 1 MiB"));
}

}  // namespace
}  // namespace boardbus::cli
