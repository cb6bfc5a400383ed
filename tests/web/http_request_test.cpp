// SPDX-License-Identifier: Apache-2.0
#include "web/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::StartsWith;
using namespace std::string_literals;

constexpr std::size_t kBodyBytesMax = 1000;

std::string to_text(const HttpEvent& event, const HttpRequest& request) {
    switch (event.kind) {
        case HttpEvent::Kind::none:
            return "none";
        case HttpEvent::Kind::send_continue:
            return "continue";
        case HttpEvent::Kind::failure:
            return "failure " + std::to_string(event.status);
        case HttpEvent::Kind::request:
            return request.method + " " + request.target + " [" + request.body + "]";
    }
    return "?";
}

std::vector<std::string> events_of(const std::string& stream, std::size_t piece_bytes) {
    HttpInput input;
    HttpRequest request;
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        auto piece = stream.substr(at, piece_bytes);
        std::span<char> bytes(piece);
        for (auto event = input.next(bytes, kBodyBytesMax, request); event.kind != HttpEvent::Kind::none;
             event = input.next(bytes, kBodyBytesMax, request)) {
            events.push_back(to_text(event, request));
        }
    }
    return events;
}

/// The events, which must not depend on how the bytes are cut.
std::vector<std::string> events(const std::string& stream) {
    auto whole = events_of(stream, stream.size());
    for (const std::size_t piece_bytes : {1, 2, 3, 5, 11}) {
        EXPECT_EQ(events_of(stream, piece_bytes), whole) << "in pieces of " << piece_bytes << ":\n"
                                                         << stream.substr(0, 300);
    }
    return whole;
}

/// The one request in `stream`.
HttpRequest parsed(std::string stream) {
    HttpInput input;
    HttpRequest request;
    std::span<char> bytes(stream);
    const auto event = input.next(bytes, kBodyBytesMax, request);
    EXPECT_EQ(event.kind, HttpEvent::Kind::request) << event.detail;
    return request;
}

/// A request with one header more than it needs.
std::string get_with(std::string_view header_line) {
    return "GET / HTTP/1.1\r\nHost: h\r\n" + std::string(header_line) + "\r\n\r\n";
}

std::string chunked(std::string_view body) {
    return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
}

TEST(HttpInput, OwnsNoMoreThanAPointerWhenIdle) {
    EXPECT_LE(sizeof(HttpInput), 2 * sizeof(void*));
}

TEST(HttpInput, ReadsARequest) {
    const auto request = parsed("GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1 \r\nx-one: 2\r\nAccept:\r\n\r\n");

    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.target, "/a?b=c");
    EXPECT_EQ(request.version, 11);
    EXPECT_TRUE(request.keep_alive);
    EXPECT_EQ(request.headers.size(), 4);
    EXPECT_EQ(request.header("X-ONE"), "1");
    EXPECT_EQ(request.header("accept"), "");
    EXPECT_EQ(request.header("x-on"), std::nullopt);
    EXPECT_EQ(request.joined_header("X-One"), "1, 2");
}

TEST(HttpInput, LetsGoOfItsParserWhenTheRequestIsWhole) {
    HttpInput input;
    HttpRequest request;
    auto stream = get_with("A: b");
    std::span<char> first(stream.data(), 20);
    std::span<char> second(stream.data() + 20, stream.size() - 20);

    EXPECT_EQ(input.next(first, 0, request).kind, HttpEvent::Kind::none);
    EXPECT_TRUE(input.in_request());
    EXPECT_EQ(input.next(second, 0, request).kind, HttpEvent::Kind::request);

    EXPECT_FALSE(input.in_request());
}

TEST(HttpInput, ReadsPipelinedRequests_Rfc9112Section9_3_2) {
    EXPECT_THAT(events("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: "
                       "3\r\n\r\nabcGET /3 HTTP/1.1\r\n"
                       "Host: h\r\n\r\n"),
                ElementsAre("GET /1 []", "POST /2 [abc]", "GET /3 []"));
}

TEST(HttpInput, SkipsEmptyLinesBeforeARequest_Rfc9112Section2_2) {
    EXPECT_THAT(events("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
                ElementsAre("GET / []", "GET / []"));
}

TEST(HttpInput, KnowsWhenAConnectionPersists_Rfc9112Section9_3) {
    EXPECT_TRUE(parsed(get_with("Connection: keep-alive")).keep_alive);
    EXPECT_FALSE(parsed(get_with("Connection: foo, Close")).keep_alive);
    EXPECT_FALSE(parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST(HttpInput, RefusesOtherVersions_Rfc9110Section15_6_6) {
    EXPECT_THAT(events("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), ElementsAre("failure 505"));
    EXPECT_THAT(events("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ElementsAre("failure 505"));
    EXPECT_THAT(events("GET / HTTP/0.9\r\n\r\n"), ElementsAre("failure 505"));
    EXPECT_THAT(events("GET / HTTQ/1.1\r\n\r\n"), ElementsAre("failure 400"));
    EXPECT_THAT(events("GET / HTTP/1.1x\r\n\r\n"), ElementsAre("failure 400"));
}

TEST(HttpInput, RefusesMalformedRequestLines_Rfc9112Section3) {
    for (const auto& line :
         {"G(T / HTTP/1.1"s, " / HTTP/1.1"s, "GET  HTTP/1.1"s, "GET /\x01 HTTP/1.1"s, "GET nowhere HTTP/1.1"s,
          "GET h?t://h/ HTTP/1.1"s, "GET /a#b HTTP/1.1"s, "GET / a HTTP/1.1"s, "GET / HTTP/1.1\n"s}) {
        EXPECT_THAT(events(line + "\r\nHost: h\r\n\r\n"), ElementsAre("failure 400")) << line;
    }
    EXPECT_THAT(events("\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"s), ElementsAre("failure 400"))
        << "TLS on a plain port";
}

TEST(HttpInput, TakesAbsoluteTargets_Rfc9112Section3_2_2) {
    EXPECT_THAT(events("GET HTTP://h/a HTTP/1.1\r\nHost: h\r\n\r\n"), ElementsAre("GET HTTP://h/a []"));
}

TEST(HttpInput, WantsOneHost_Rfc9112Section3_2) {
    EXPECT_THAT(events("GET / HTTP/1.1\r\n\r\n"), ElementsAre("failure 400"));
    EXPECT_THAT(events(get_with("Host: h")), ElementsAre("failure 400"));
    EXPECT_THAT(events("GET / HTTP/1.0\r\n\r\n"), ElementsAre("GET / []"));
}

TEST(HttpInput, RefusesMalformedHeaders_Rfc9112Section5) {
    for (const auto& line :
         {"A : b"s, "A"s, ": b"s, "A: b\x01"s, "A: b\0c"s, "A: b\nC: d"s, "A: b\rC: d"s, "A(: b"s, " A: b"s}) {
        EXPECT_THAT(events(get_with(line)), ElementsAre("failure 400")) << line;
    }
}

TEST(HttpInput, RefusesFoldedLines_Rfc9112Section5_2) {
    EXPECT_THAT(events(get_with("A: b\r\n c")), ElementsAre("failure 400"));
    EXPECT_THAT(events(get_with("A: b\r\n\tc")), ElementsAre("failure 400"));
    EXPECT_THAT(events(get_with("A:\r\n c")), ElementsAre("failure 400"));
}

TEST(HttpInput, RefusesAmbiguousLengths_Rfc9112Section6) {
    for (const auto& lines : {
             "Content-Length: 5\r\nTransfer-Encoding: chunked"s,
             "Transfer-Encoding: chunked\r\nContent-Length: 5"s,
             "Content-Length: 5\r\nContent-Length: 6"s,
             "Content-Length: 5, 6"s,
             "Content-Length: -5"s,
             "Content-Length: +5"s,
             "Content-Length: 5x"s,
             "Content-Length: 0x5"s,
             "Content-Length:"s,
             "Content-Length: 99999999999999999999"s,
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"s,
         }) {
        EXPECT_THAT(events(get_with(lines)), ElementsAre("failure 400")) << lines;
    }
    EXPECT_THAT(events("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), ElementsAre("failure 400"));
}

TEST(HttpInput, RefusesOtherTransferCodings_Rfc9112Section6_1) {
    for (const auto& value :
         {"gzip"s, "gzip, chunked"s, "chunked, gzip"s, "identity"s, "xchunked"s, "\"chunked\""s, ""s}) {
        EXPECT_THAT(events(get_with("Transfer-Encoding: " + value)), ElementsAre("failure 501")) << value;
    }
}

TEST(HttpInput, ReadsChunkedBodies_Rfc9112Section7_1) {
    EXPECT_THAT(events(chunked("0\r\n\r\n")), ElementsAre("POST / []"));
    EXPECT_THAT(events(chunked("3\r\nabc\r\n0A;x=\"y z\";w\r\n0123456789\r\n0\r\n\r\n") + get_with("A: b")),
                ElementsAre("POST / [abc0123456789]", "GET / []"));
}

TEST(HttpInput, IgnoresTrailers_Rfc9112Section7_1_2) {
    HttpRequest request = parsed(chunked("1\r\na\r\n0\r\nHost: other\r\nX: y\r\n\r\n"));

    EXPECT_EQ(request.body, "a");
    EXPECT_EQ(request.header("x"), std::nullopt);
    EXPECT_EQ(request.header("host"), "h");
}

TEST(HttpInput, RefusesMalformedChunks_Rfc9112Section7_1) {
    for (const auto& body : {"x\r\n\r\n"s, "-1\r\n\r\n"s, "3\r\nabcd\r\n0\r\n\r\n"s, "3 x\r\nabc\r\n"s,
                             "10000000000000000\r\n\r\n"s, "\r\n\r\n\r\n"s}) {
        EXPECT_THAT(events(chunked(body)), ElementsAre(testing::AnyOf("failure 400", "failure 413"))) << body;
    }
}

TEST(HttpInput, RefusesABodyOverTheLimit_Rfc9110Section15_5_14) {
    const auto post = [](std::size_t size) {
        return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
    };

    EXPECT_THAT(events(post(1000) + std::string(1000, 'x')), ElementsAre("POST / [" + std::string(1000, 'x') + "]"));
    EXPECT_THAT(events(post(1001)), ElementsAre("failure 413"));
    EXPECT_THAT(events(chunked("3E8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n")),
                ElementsAre(StartsWith("POST / [xxx")));
    EXPECT_THAT(events(chunked("3E8\r\n" + std::string(1000, 'x') + "\r\n1\r\nx\r\n")), ElementsAre("failure 413"));
    EXPECT_THAT(events(chunked("FFFFFFFFFFFFFFFF\r\n")), ElementsAre("failure 413"));
}

TEST(HttpInput, BoundsTheHeader_Rfc6585Section5) {
    const auto of_size = [](std::size_t size) {
        const auto empty = get_with("A: ");
        return get_with("A: " + std::string(size - empty.size(), 'x'));
    };
    const auto in_lines = [](std::size_t lines) {
        std::string stream = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (std::size_t line = 0; line < lines; ++line) {
            stream += "A: " + std::string(1000, 'x') + "\r\n";
        }
        return stream;
    };
    EXPECT_THAT(events(of_size(kHttpHeaderBytesMax)), ElementsAre("GET / []"));
    EXPECT_THAT(events(of_size(kHttpHeaderBytesMax + 1)), ElementsAre("failure 431"));
    EXPECT_THAT(events(in_lines(16) + "\r\n"), ElementsAre("GET / []"));
    EXPECT_THAT(events(in_lines(17) + "\r\n"), ElementsAre("failure 431"));
    EXPECT_THAT(events(in_lines(17)), ElementsAre("failure 431")) << "without its end";
    EXPECT_THAT(events("GET /" + std::string(kHttpHeaderBytesMax, 'x')), ElementsAre("failure 431"));
}

TEST(HttpInput, BoundsTheNumberOfHeaders) {
    const auto with = [](std::size_t count) {
        std::string stream = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (std::size_t index = 1; index < count; ++index) {
            stream += "A: b\r\n";
        }
        return stream + "\r\n";
    };
    EXPECT_THAT(events(with(kHttpHeadersMax)), ElementsAre("GET / []"));
    EXPECT_THAT(events(with(kHttpHeadersMax + 1)), ElementsAre("failure 431"));
}

TEST(HttpInput, BoundsChunkHeadersAndTrailers) {
    EXPECT_THAT(events(chunked("1;" + std::string(20'000, 'x'))), ElementsAre("failure 400"));
    EXPECT_THAT(events(chunked("0\r\nA: " + std::string(20'000, 'x'))), ElementsAre("failure 400"));
}

TEST(HttpInput, AsksForAContinueOnceAndOnlyWhenTheBodyIsStillAway_Rfc9110Section10_1_1) {
    const auto head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"s;

    EXPECT_THAT(events_of(head, head.size()), ElementsAre("continue"));
    EXPECT_THAT(events_of(head + "ab", 1), ElementsAre("continue", "POST / [ab]"));
    EXPECT_THAT(events_of(head + "ab", head.size() + 2), ElementsAre("POST / [ab]"));
    EXPECT_THAT(events("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"),
                ElementsAre("POST / [ab]"));
    EXPECT_THAT(events(get_with("Expect: wonders")), ElementsAre("failure 417"));
}

TEST(HttpInput, SwallowsEverythingAfterAFailure) {
    EXPECT_THAT(events("BAD\r\n\r\n" + get_with("A: b")), ElementsAre("failure 400"));
}

TEST(HttpRequest, FindsTokensInLists_Rfc9110Section5_6_1) {
    HttpRequest request;
    request.headers = {{"Connection", "keep-alive ,, UPGRADE"}, {"connection", "\tTE "}};

    EXPECT_TRUE(request.header_has_token("connection", "upgrade"));
    EXPECT_TRUE(request.header_has_token("connection", "te"));
    EXPECT_FALSE(request.header_has_token("connection", "up"));
    EXPECT_FALSE(request.header_has_token("connection", ""));
}

}  // namespace
}  // namespace boardbus::web
