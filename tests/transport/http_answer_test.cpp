// SPDX-License-Identifier: Apache-2.0
#include "transport/http_answer.h"

#include <gtest/gtest.h>

#include <string>

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

/// Feeds it whole, then byte by byte: both must say the same. The bytes that follow the answer are not fed.
HttpAnswer answer_of(const std::string& text) {
    HttpAnswer whole;
    const auto complete = whole.feed(text);
    EXPECT_TRUE(complete && *complete) << text;
    HttpAnswer pieces;
    bool done = false;
    for (std::size_t i = 0; i < text.size() && !done; ++i) {
        const auto now = pieces.feed(text.substr(i, 1));
        EXPECT_TRUE(now) << text;
        done = now.value_or(true);
    }
    EXPECT_TRUE(done) << text;
    EXPECT_EQ(pieces.status(), whole.status());
    return whole;
}

TEST(HttpAnswer, IsCompleteWithItsBody) {
    HttpAnswer answer;

    EXPECT_FALSE(answer.begun());
    EXPECT_FALSE(*answer.feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"));
    EXPECT_TRUE(answer.begun());
    EXPECT_TRUE(*answer.feed("}"));
    EXPECT_EQ(answer.status(), 200);
    EXPECT_TRUE(answer.reusable());
}

TEST(HttpAnswer, KeepsTheConnectionOnlyWhenItKnowsWhereTheAnswerEnds) {
    EXPECT_TRUE(answer_of("HTTP/1.1 200 OK\r\nconnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n").reusable());
    EXPECT_TRUE(answer_of("HTTP/1.1 204 No Content\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").reusable());
    EXPECT_FALSE(answer_of("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").reusable());
}

TEST(HttpAnswer, BytesBehindItSpoilTheConnection) {
    HttpAnswer answer;

    EXPECT_TRUE(*answer.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n"));

    EXPECT_FALSE(answer.reusable());
}

TEST(HttpAnswer, PassesOverInterimAnswers) {
    const HttpAnswer answer = answer_of(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nRetry-After: 9\r\n\r\n"
        "HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nabc");

    EXPECT_EQ(answer.status(), 503);
    EXPECT_FALSE(answer.retry_after());
}

TEST(HttpAnswer, ReadsRetryAfterInSeconds) {
    EXPECT_EQ(answer_of("HTTP/1.1 429 \r\nRetry-After:  7 \r\n\r\n").retry_after(), 7s);
    EXPECT_EQ(answer_of("HTTP/1.1 429 \r\nRetry-After: 99999999999\r\n\r\n").retry_after(), 3600s);
    EXPECT_FALSE(answer_of("HTTP/1.1 429 \r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n").retry_after());
    EXPECT_FALSE(answer_of("HTTP/1.1 429 \r\nRetry-After: -1\r\n\r\n").retry_after());
}

TEST(HttpAnswer, RefusesWhatIsNoAnswer) {
    for (const char* text :
         {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
          "HTTP/1.1 099 \r\n\r\n", "HTTP/1.1 600 \r\n\r\n", "HTTP/1.1 -20 \r\n\r\n", "HTTP/2 200 OK\r\n\r\n",
          "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 200 OK\r\nno header\r\n\r\n", "\r\n\r\n"}) {
        HttpAnswer answer;
        const auto complete = answer.feed(text);
        ASSERT_FALSE(complete) << text;
        EXPECT_EQ(complete.error().code, Errc::invalid);
    }
}

TEST(HttpAnswer, BoundsItsHead) {
    HttpAnswer whole;
    EXPECT_FALSE(whole.feed("HTTP/1.1 200 OK\r\nx: " + std::string(HttpAnswer::kHeadBytesMax, 'x')));

    HttpAnswer interim;
    bool refused = false;
    for (std::size_t i = 0; i <= HttpAnswer::kHeadBytesMax / 10 && !refused; ++i) {
        refused = !interim.feed("HTTP/1.1 100 \r\n\r\n");
    }
    EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace boardbus::transport
