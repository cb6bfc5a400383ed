// Stream against a listener of the test's own, both on one loop.
// SPDX-License-Identifier: Apache-2.0
#include "transport/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "transport/listener.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

class Recorder final : public StreamOwner {
  public:
    void on_open() override {
        ++opened;
        if (when_open) {
            when_open();
        }
    }
    void on_bytes(std::string_view bytes) override {
        received += bytes;
        ++reads;
        if (when_bytes) {
            when_bytes();
        }
    }
    void on_closed(const Error& error) override {
        errors.push_back(error);
        if (when_closed) {
            when_closed();
        }
    }

    int opened = 0;
    int reads = 0;
    std::string received;
    std::vector<Error> errors;
    std::function<void()> when_open;
    std::function<void()> when_bytes;
    std::function<void()> when_closed;
};

class StreamTest : public testing::Test {
  protected:
    template <typename Condition>
    void run_until(Condition condition) {
        for (int turns = 0; turns < 2000 && !condition(); ++turns) {
            loop_.turn(20ms);
        }
        EXPECT_TRUE(condition());
    }

    /// Connects and returns the server's end.
    UniqueFd connect() {
        stream_.open(listener_.endpoint(), 2s);
        UniqueFd server = listener_.accept(loop_);
        run_until([this] { return stream_.is_open(); });
        return server;
    }

    static void send(const UniqueFd& fd, std::string_view bytes) {
        EXPECT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    static std::string receive(const UniqueFd& fd) {
        static std::array<char, 65536> buffer;
        const ssize_t count = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
        return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
    }

    Loop loop_;
    Recorder owner_;
    Stream stream_{loop_, owner_, {}};
    Listener listener_;
};

TEST_F(StreamTest, CarriesBytesBothWays) {
    const UniqueFd server = connect();

    stream_.write("pi");
    stream_.write("ng");
    loop_.turn(0ms);
    send(server, "pong");
    run_until([this] { return !owner_.received.empty(); });

    EXPECT_EQ(receive(server), "ping");
    EXPECT_EQ(owner_.received, "pong");
    EXPECT_EQ(owner_.opened, 1);
}

TEST_F(StreamTest, OpenNeverCallsBackBeforeTheNextTurn) {
    stream_.open({.host = "255.255.255.255", .port = 9}, 1s);

    EXPECT_TRUE(owner_.errors.empty());
    run_until([this] { return !owner_.errors.empty(); });
    EXPECT_EQ(owner_.errors[0].code, Errc::unavailable);
}

TEST_F(StreamTest, RefusedConnectionNamesTheEndpoint) {
    listener_.stop();

    stream_.open(listener_.endpoint(), 1s);
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_EQ(owner_.errors[0].code, Errc::unavailable);
    EXPECT_NE(owner_.errors[0].detail.find(to_text(listener_.endpoint())), std::string::npos)
        << owner_.errors[0].detail;
    EXPECT_EQ(owner_.opened, 0);
}

TEST_F(StreamTest, ResolvesNamesAndTriesEveryAddress) {
    // localhost is ::1 and 127.0.0.1 on most machines; the listener has only the latter.
    stream_.open(listener_.endpoint("localhost"), 2s);
    run_until([this] { return stream_.is_open(); });

    EXPECT_TRUE(owner_.errors.empty());
}

TEST_F(StreamTest, UnknownNameIsUnavailable) {
    stream_.open({.host = "no-such-host.invalid", .port = 1}, 2s);
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_NE(owner_.errors[0].code, Errc::refused);
    EXPECT_NE(owner_.errors[0].detail.find("no-such-host.invalid"), std::string::npos);
}

TEST_F(StreamTest, CloseDuringALookupCallsNobody) {
    stream_.open(listener_.endpoint("localhost"), 2s);
    stream_.close();
    stream_.open(listener_.endpoint("localhost"), 2s);
    run_until([this] { return stream_.is_open(); });

    EXPECT_EQ(owner_.opened, 1);
    EXPECT_TRUE(owner_.errors.empty());
}

TEST_F(StreamTest, DestructionDuringALookupIsSafe) {
    {
        Stream other(loop_, owner_, {});
        other.open(listener_.endpoint("localhost"), 2s);
    }
    for (int turns = 0; turns < 5; ++turns) {
        loop_.turn(2ms);
    }
    EXPECT_EQ(owner_.opened, 0);
}

TEST_F(StreamTest, SilentTlsServerRunsIntoTheDeadline) {
    Endpoint endpoint = listener_.endpoint();
    endpoint.tls = true;

    stream_.open(endpoint, 30ms);
    const UniqueFd server = listener_.accept(loop_);
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_EQ(owner_.errors[0].code, Errc::timeout);
}

TEST_F(StreamTest, PlainServerIsNoTlsServer) {
    Endpoint endpoint = listener_.endpoint();
    endpoint.tls = true;

    stream_.open(endpoint, 1s);
    const UniqueFd server = listener_.accept(loop_);
    send(server, "-ERR not TLS\r\n");
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_EQ(owner_.errors[0].code, Errc::refused) << owner_.errors[0].detail;
}

TEST_F(StreamTest, UnreadableCaFileIsRefused) {
    Stream stream(loop_, owner_, {.ca_file = "/nonexistent/ca.pem", .cert_file = "", .key_file = ""});
    Endpoint endpoint = listener_.endpoint();
    endpoint.tls = true;

    stream.open(endpoint, 1s);
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_EQ(owner_.errors[0].code, Errc::refused);
    EXPECT_NE(owner_.errors[0].detail.find("/nonexistent/ca.pem"), std::string::npos) << owner_.errors[0].detail;
}

TEST_F(StreamTest, LastWordsAreDeliveredBeforeTheEnd) {
    UniqueFd server = connect();
    owner_.when_closed = [this] { EXPECT_EQ(owner_.received, "bye"); };

    send(server, "bye");
    server.reset();
    run_until([this] { return !owner_.errors.empty(); });

    EXPECT_EQ(owner_.errors.size(), 1U);
    EXPECT_EQ(owner_.errors[0].code, Errc::unavailable);
    EXPECT_FALSE(stream_.is_open());
}

TEST_F(StreamTest, OwnerMayCloseInsideOnBytes) {
    const UniqueFd server = connect();
    owner_.when_bytes = [this] { stream_.close(); };

    send(server, std::string(150'000, 'x'));
    run_until([this] { return owner_.reads > 0; });
    loop_.turn(5ms);

    EXPECT_EQ(owner_.reads, 1);
    EXPECT_TRUE(owner_.errors.empty());
}

TEST_F(StreamTest, OwnerMayReopenInsideOnClosed) {
    UniqueFd server = connect();
    owner_.when_closed = [this] { stream_.open(listener_.endpoint(), 1s); };

    server.reset();
    run_until([this] { return owner_.opened == 2; });

    EXPECT_EQ(owner_.errors.size(), 1U);
    EXPECT_TRUE(stream_.is_open());
}

TEST_F(StreamTest, OwnerMayCloseInsideOnOpen) {
    owner_.when_open = [this] { stream_.close(); };

    stream_.open(listener_.endpoint(), 1s);
    run_until([this] { return owner_.opened == 1; });
    loop_.turn(5ms);

    EXPECT_TRUE(owner_.errors.empty());
}

TEST_F(StreamTest, ShortWritesGoOnWhenTheSocketIsReady) {
    const UniqueFd server = connect();
    const std::string sent(8 << 20, 'y');

    stream_.write(sent);
    loop_.turn(0ms);
    EXPECT_GT(stream_.unsent(), 0U);
    std::size_t received = 0;
    ::fcntl(server.get(), F_SETFL, O_NONBLOCK);
    run_until([&] {
        for (std::size_t count = 1; count > 0; received += count) {
            count = receive(server).size();
        }
        return received == sent.size();
    });

    EXPECT_EQ(stream_.unsent(), 0U);
}

/// Writes at the end of a turn, once.
struct WritesAtTheEnd final : TurnEnd {
    explicit WritesAtTheEnd(Stream& to) : stream(to) {}
    void on_turn_end() override {
        if (std::exchange(due, false)) {
            stream.write("end");
        }
    }
    Stream& stream;
    bool due = false;
};

TEST_F(StreamTest, WriteAfterTheTurnsEndDoesNotWaitForAnEvent) {
    const UniqueFd server = connect();
    WritesAtTheEnd late(stream_);
    loop_.add_turn_end(late);

    late.due = true;
    loop_.turn(0ms);
    const auto before = std::chrono::steady_clock::now();
    loop_.turn(1s);

    EXPECT_EQ(receive(server), "end");
    EXPECT_LT(std::chrono::steady_clock::now() - before, 500ms);
    loop_.remove_turn_end(late);
}

TEST_F(StreamTest, WhatATurnEndWritesLeavesInThatTurnIfItWasThereBeforeTheConnection) {
    WritesAtTheEnd early(stream_);
    loop_.add_turn_end(early);
    const UniqueFd server = connect();

    early.due = true;
    loop_.turn(0ms);

    EXPECT_FALSE(early.due);
    EXPECT_EQ(stream_.unsent(), 0U);
    loop_.remove_turn_end(early);
}

TEST_F(StreamTest, WritesToAClosedStreamAreIgnored) {
    stream_.write("nobody");

    EXPECT_EQ(stream_.unsent(), 0U);
}

TEST(ToText, PutsIpv6InBrackets) {
    EXPECT_EQ(to_text(Endpoint{.host = "::1", .port = 6379}), "[::1]:6379");
    EXPECT_EQ(to_text(Endpoint{.host = "redis", .port = 6379}), "redis:6379");
}

}  // namespace
}  // namespace boardbus::transport
