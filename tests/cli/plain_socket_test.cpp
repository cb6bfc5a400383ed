// SPDX-License-Identifier: Apache-2.0
#include "cli/plain_socket.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "cli/commands.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A listener on a free port; answers one connection with `answer` and closes it.
class OneAnswer {
  public:
    explicit OneAnswer(std::string answer) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(fd_.get(), 1), 0);
        EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        thread_ = std::thread([this, answer = std::move(answer)] {
            const UniqueFd peer(::accept(fd_.get(), nullptr, nullptr));
            char bytes[4096];
            const auto got = ::recv(peer.get(), bytes, sizeof bytes, 0);
            request.assign(bytes, got > 0 ? static_cast<std::size_t>(got) : 0);
            ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
            if (answer.empty()) {
                ::recv(peer.get(), bytes, sizeof bytes, 0);  // Silent until the client gives up.
            }
        });
    }
    ~OneAnswer() { join(); }

    void join() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    std::string url;
    std::string request;

  private:
    UniqueFd fd_;
    std::thread thread_;
};

TEST(HttpUrl, IsTakenApart) {
    const auto plain = parse_http_url("http://board.example:8004/prefix/");
    const auto six = parse_http_url("http://[::1]");

    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->host + " " + plain->port + " " + plain->path, "board.example 8004 /prefix");
    ASSERT_TRUE(six);
    EXPECT_EQ(six->authority(), "[::1]:80");
}

TEST(HttpUrl, NonsenseAndHttpsAreRefused) {
    for (const auto* url :
         {"", "board.example", "http://", "http://:1", "http://h:", "http://h:x", "http://h:70000", "http://[::1",
          "http://u:p@h", "http://h/\r\nX: y", "ftp://h", "http://[]:1", "http://a b"}) {
        EXPECT_FALSE(parse_http_url(url)) << url;
    }
    EXPECT_THAT(parse_http_url("https://h").error().detail, HasSubstr("not supported"));
}

TEST(Health, TheStatusDecides) {
    OneAnswer good("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    OneAnswer bad("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno");

    EXPECT_EQ(run_health({.url = good.url + "/readyz"}), 0);
    EXPECT_EQ(run_health({.url = bad.url + "/readyz"}), 1);
    good.join();
    EXPECT_THAT(good.request, testing::StartsWith("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:"));
}

TEST(Health, SilenceRefusalAndNonsenseAreFailures) {
    OneAnswer silent("");
    OneAnswer nonsense("SSH-2.0-OpenSSH_9.2\r\n\r\n");

    EXPECT_EQ(run_health({.url = silent.url + "/readyz", .timeout = 50ms}), 1);
    EXPECT_EQ(run_health({.url = nonsense.url + "/readyz"}), 1);
    EXPECT_EQ(run_health({.url = "http://127.0.0.1:1/readyz"}), 1);
}

TEST(Demo, SaysWhyItCannotBegin) {
    OneAnswer unauthorized("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");

    testing::internal::CaptureStderr();
    EXPECT_EQ(run_demo({.url = unauthorized.url, .token = "wrong"}), 1);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("/sse/activity answered 401: the token is wrong"));

    testing::internal::CaptureStderr();
    EXPECT_EQ(run_demo({.url = "http://127.0.0.1:1", .token = "t"}), 1);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("127.0.0.1:1: Connection refused"));
}

}  // namespace
}  // namespace boardbus::cli
