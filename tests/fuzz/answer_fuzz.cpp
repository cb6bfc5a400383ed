// Any bytes as a collector's answer: what is read never depends on how the bytes are cut, and no bound is broken.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "transport/http_answer.h"

namespace {

using boardbus::transport::HttpAnswer;

/// Unlike assert it stays in every build.
void require(bool claim) {
    if (!claim) {
        std::abort();
    }
}

struct Outcome {
    enum class Kind { incomplete, failed, complete } kind = Kind::incomplete;
    int status = 0;
};

Outcome outcome_of(std::string_view stream, std::size_t piece_bytes) {
    HttpAnswer answer;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        const auto piece = stream.substr(at, piece_bytes);
        const std::vector<char> memory(piece.begin(), piece.end());  // Of exactly this size, for the sanitizer.
        const auto complete = answer.feed({memory.data(), memory.size()});
        if (!complete) {
            return {Outcome::Kind::failed, 0};
        }
        if (*complete) {
            require(answer.status() >= 200 && answer.status() <= 599);
            require(!answer.retry_after() || answer.retry_after()->count() <= 3600);
            return {Outcome::Kind::complete, answer.status()};
        }
    }
    return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view stream(reinterpret_cast<const char*>(data), size);
    const Outcome whole = outcome_of(stream, std::max<std::size_t>(size, 1));
    for (const std::size_t piece_bytes : {1UL, 3UL, 16UL}) {
        const Outcome pieces = outcome_of(stream, piece_bytes);
        require(pieces.kind == whole.kind);
        require(pieces.status == whole.status);
    }
    return 0;
}
