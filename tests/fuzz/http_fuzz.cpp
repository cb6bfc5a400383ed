// Any bytes as a client's HTTP stream: the requests never depend on how the bytes are cut, none breaks a limit or
// carries what could be read in two ways, and each, written down plainly, reads back as itself.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "web/http_request.h"
#include "web/http_target.h"
#include "web/ws_handshake.h"

namespace {

using namespace boardbus::web;

constexpr std::size_t kBodyBytesMax = 256;
constexpr std::size_t kStreamBytesMax = 8192;  // Below the limit of chunk headers, which pieces meet sooner.

/// Unlike assert it stays in every build.
void require(bool claim) {
    if (!claim) {
        std::abort();
    }
}

bool same(const HttpRequest& a, const HttpRequest& b) {
    const auto same_header = [](const HttpRequest::Header& left, const HttpRequest::Header& right) {
        return left.name == right.name && left.value == right.value;
    };
    return a.method == b.method && a.target == b.target && a.version == b.version && a.body == b.body &&
           a.keep_alive == b.keep_alive && std::ranges::equal(a.headers, b.headers, same_header);
}

struct Outcome {
    std::vector<HttpRequest> requests;
    int failure = 0;
};

Outcome outcome_of(std::string_view stream, std::size_t piece_bytes) {
    HttpInput input;
    HttpRequest request;
    Outcome outcome;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        const auto piece = stream.substr(at, piece_bytes);
        std::vector<char> memory(piece.begin(), piece.end());  // Of exactly this size, for the sanitizer.
        std::span<char> bytes(memory);
        for (auto event = input.next(bytes, kBodyBytesMax, request); event.kind != HttpEvent::Kind::none;
             event = input.next(bytes, kBodyBytesMax, request)) {
            require(outcome.failure == 0);
            if (event.kind == HttpEvent::Kind::request) {
                outcome.requests.push_back(request);
            } else if (event.kind == HttpEvent::Kind::failure) {
                outcome.failure = event.status;
            }
        }
        require(bytes.empty());
    }
    return outcome;
}

bool is_clean(std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

void check_request(const HttpRequest& request) {
    require(request.body.size() <= kBodyBytesMax && request.headers.size() <= kHttpHeadersMax);
    require(!request.header("Content-Length") || !request.header("Transfer-Encoding"));
    require(request.version == 11 || (request.version == 10 && !request.keep_alive));

    // Written down with a plain length in place of whatever framing it had.
    std::string plain =
        request.method + " " + request.target + (request.version == 11 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    auto expected = request;
    std::erase_if(expected.headers, [](const HttpRequest::Header& one) {
        return equals_ignoring_case(one.name, "Transfer-Encoding") || equals_ignoring_case(one.name, "Content-Length");
    });
    expected.headers.push_back({"Content-Length", std::to_string(request.body.size())});
    for (const auto& one : expected.headers) {
        require(is_clean(one.name) && is_clean(one.value) && !one.name.empty());
        plain += one.name + ": " + one.value + "\r\n";
    }
    const auto again = outcome_of(plain + "\r\n" + request.body, plain.size() + 2 + kBodyBytesMax);
    // One header more may be one too many.
    require(again.requests.size() == 1 ? same(again.requests[0], expected) : again.failure == 431);
}

void check_target(std::string_view target) {
    const auto split = split_target(target);
    require(is_clean(target) && (split.path.starts_with('/') || split.path == "*"));
    std::string joined;
    for (const auto segment : path_segments(split.path)) {
        joined.append("/").append(segment);
    }
    require(joined == split.path || split.path == "*");
}

void check_upgrade_of(const HttpRequest& request) {
    if (const auto key = check_upgrade(request)) {
        require(key->size() == 24 && websocket_accept(*key).size() == 28);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > kStreamBytesMax) {
        return 0;
    }
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto whole = outcome_of(stream, size);
    for (const auto& request : whole.requests) {
        check_request(request);
        check_target(request.target);
        check_upgrade_of(request);
    }
    for (const std::size_t piece_bytes : {std::size_t{1}, data[0] + std::size_t{1}}) {
        // When a broken request is found broken, and by which name, may depend on the cut; what gets through may not.
        require(std::ranges::equal(outcome_of(stream, piece_bytes).requests, whole.requests, same));
    }
    return 0;
}
