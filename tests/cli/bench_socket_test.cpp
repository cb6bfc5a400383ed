// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_socket.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <vector>

#include "cli/bench_dialer.h"
#include "web/ws_handshake.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr auto kPatience = 10s;

const std::string kKey = "dGhlIHNhbXBsZSBub25jZQ==";
const std::string kUpgraded =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + web::websocket_accept(kKey) +
    "\r\n\r\n";
const std::string kStreaming =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A server on a free port whose connections the test answers by hand, on the same thread.
class Server {
  public:
    Server() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(listener_.get(), 16), 0);
        EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        target.authority = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        target.token = "sesame";
        std::memcpy(&target.address, &address, size);
        target.address_bytes = size;
        target.key = kKey;
        target.accept = web::websocket_accept(kKey);
    }

    void accept() {
        while (!peer) {
            peer.reset(::accept(listener_.get(), nullptr, nullptr));
        }
    }
    void say(std::string_view bytes) const {
        EXPECT_EQ(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), std::ssize(bytes));
    }
    std::string hear() const {
        std::string bytes(4096, '\0');
        const auto got = ::recv(peer.get(), bytes.data(), bytes.size(), 0);
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return bytes;
    }

    BenchTarget target;
    UniqueFd peer;

  private:
    UniqueFd listener_;
};

class BenchSocketTest : public testing::Test, protected BenchSocketOwner {
  protected:
    void on_open(BenchSocket&, std::chrono::nanoseconds handshake) override {
        ++opened;
        EXPECT_GE(handshake, 0ns);
    }
    void on_text(BenchSocket&, std::string_view text, Instant) override { texts.emplace_back(text); }
    void on_end(BenchSocket&, const std::string& why) override { ends.push_back(why); }

    template <typename Condition>
    void turn_until(Condition condition) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!condition()) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline);
            loop.turn(10ms);
        }
    }

    void open(BenchStream stream) {
        socket.open(server.target, stream, "b-0", std::chrono::steady_clock::now());
        server.accept();
        turn_until([this] { return socket.state() != BenchSocket::State::connecting; });
        request = server.hear();
    }

    /// What the connection ends with when the server says these bytes.
    std::string end_after(BenchStream stream, std::string_view bytes) {
        open(stream);
        server.say(bytes);
        turn_until([this] { return !ends.empty(); });
        EXPECT_EQ(socket.state(), BenchSocket::State::ended);
        return ends.empty() ? "" : ends.front();
    }

    Server server;
    Loop loop;
    std::size_t opened = 0;
    std::vector<std::string> texts;
    std::vector<std::string> ends;
    std::string request;
    BenchSocket socket{loop, *this, 0};
};

TEST_F(BenchSocketTest, AsksForTheBoardWithTheToken) {
    open(BenchStream::websocket);

    EXPECT_THAT(request, StartsWith("GET /ws/boards/b-0 HTTP/1.1\r\nHost: " + server.target.authority + "\r\n"));
    EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer sesame\r\n"));
    EXPECT_THAT(request, testing::EndsWith("\r\nSec-WebSocket-Key: " + kKey + "\r\n\r\n"));
}

TEST_F(BenchSocketTest, ReadsTextsHoweverTheyAreCut) {
    open(BenchStream::websocket);
    std::string stream = kUpgraded;
    web::append_frame(stream, web::Opcode::text, "one");
    web::append_frame(stream, web::Opcode::text, std::string(70'000, 'x'));
    web::append_frame(stream, web::Opcode::text, "three");

    for (std::size_t at = 0; at < stream.size(); at += at < 400 ? 7 : 30'000) {
        server.say(std::string_view(stream).substr(at, at < 400 ? 7 : 30'000));
        loop.turn(1ms);
    }
    turn_until([this] { return texts.size() == 3; });

    EXPECT_EQ(opened, 1U);
    EXPECT_THAT(ends, IsEmpty());
    EXPECT_THAT(texts, ElementsAre("one", std::string(70'000, 'x'), "three"));
}

TEST_F(BenchSocketTest, AnswersPingsWithMaskedPongs) {
    open(BenchStream::websocket);
    server.say(kUpgraded + "\x89\x02hi"s);
    turn_until([this] { return opened == 1; });

    std::string pong = server.hear();

    ASSERT_EQ(pong.size(), 8U);
    EXPECT_EQ(pong.substr(0, 2), "\x8A\x82"s);
    web::unmask(std::span(pong).subspan(6), {pong[2], pong[3], pong[4], pong[5]});
    EXPECT_EQ(pong.substr(6), "hi");
}

TEST_F(BenchSocketTest, ReadsEventsOutOfChunks) {
    open(BenchStream::sse);
    EXPECT_THAT(request, StartsWith("GET /sse/boards/b-0 HTTP/1.1\r\n"));
    server.say(kStreaming + "c\r\nid: 1\ndata: \r\n");
    server.say("9\r\nx\n\nid: 2\n\r\n2\r\n\n\n\r\n");

    turn_until([this] { return texts.size() == 2; });

    EXPECT_THAT(texts, ElementsAre("id: 1\ndata: x", "id: 2"));
}

TEST_F(BenchSocketTest, AWrongTokenHasItsCloseCode) {
    EXPECT_EQ(end_after(BenchStream::websocket, kUpgraded + "\x88\x02\x11\x31"s),
              "closed with 4401 (wrong or missing token)");
    EXPECT_EQ(opened, 1U);
}

TEST_F(BenchSocketTest, TooManyConnectionsHaveTheirs) {
    EXPECT_THAT(end_after(BenchStream::websocket, kUpgraded + "\x88\x06\x03\xF5slow"s), StartsWith("closed with 1013"));
}

TEST_F(BenchSocketTest, AnotherStatusIsARefusal) {
    EXPECT_THAT(end_after(BenchStream::sse, "HTTP/1.1 429 Too Many Requests\r\n\r\n"), StartsWith("HTTP 429"));
    EXPECT_EQ(opened, 0U);
}

TEST_F(BenchSocketTest, AWrongAcceptIsNoHandshake) {
    EXPECT_EQ(
        end_after(BenchStream::websocket,
                  "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
        "no handshake: wrong Sec-WebSocket-Accept");
}

TEST_F(BenchSocketTest, AStreamOfAnotherTypeIsNone) {
    EXPECT_THAT(end_after(BenchStream::sse, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
                HasSubstr("not an event stream"));
}

TEST_F(BenchSocketTest, GarbageInsteadOfAHeadIsToldAsSuch) {
    EXPECT_EQ(end_after(BenchStream::websocket, "SSH-2.0-server\r\n\r\n"), "no handshake: the answer is not HTTP");
}

TEST_F(BenchSocketTest, AHeadWithoutEndIsGivenUp) {
    EXPECT_THAT(end_after(BenchStream::websocket, "HTTP/1.1 101 " + std::string(100'000, 'x')), HasSubstr("64 KiB"));
}

TEST_F(BenchSocketTest, AMaskedFrameIsBroken) {
    EXPECT_EQ(end_after(BenchStream::websocket, kUpgraded + "\x81\x81\x01\x02\x03\x04x"s),
              "broken WebSocket: a server's frame is masked");
}

TEST_F(BenchSocketTest, AFrameWithoutMeasureIsBroken) {
    EXPECT_EQ(end_after(BenchStream::websocket, kUpgraded + "\x81\x7F\x00\x00\x01\x00\x00\x00\x00\x00"s),
              "broken WebSocket: message too big");
}

TEST_F(BenchSocketTest, AChunkWithoutASizeIsBroken) {
    EXPECT_THAT(end_after(BenchStream::sse, kStreaming + "zz\r\n"), HasSubstr("a chunk without a size"));
}

TEST_F(BenchSocketTest, ASilentEndIsTold) {
    open(BenchStream::websocket);
    server.peer.reset();

    turn_until([this] { return !ends.empty(); });

    EXPECT_THAT(ends, ElementsAre("no handshake: closed by the server without a word"));
}

TEST_F(BenchSocketTest, AServerThatDoesNotReadIsGivenUp) {
    open(BenchStream::websocket);
    server.say(kUpgraded);
    turn_until([this] { return opened == 1; });

    const std::string text(60'000, 'x');
    for (int i = 0; i < 1000 && ends.empty(); ++i) {  // 60 MB; socket buffers take a few.
        socket.send_text(text);
        socket.flush();
    }

    EXPECT_THAT(ends, ElementsAre("not sent: the server has left 16 MiB unread"));
}

TEST_F(BenchSocketTest, NobodyListensIsTold) {
    BenchTarget nobody = server.target;
    sockaddr_in address{};
    std::memcpy(&address, &nobody.address, sizeof address);
    address.sin_port = htons(1);
    std::memcpy(&nobody.address, &address, sizeof address);

    socket.open(nobody, BenchStream::websocket, "b", std::chrono::steady_clock::now());
    turn_until([this] { return !ends.empty(); });

    EXPECT_THAT(ends, ElementsAre("not connected: Connection refused"));
}

TEST_F(BenchSocketTest, TheDialerGivesUpAHandshakeThatTakesTooLong) {
    BenchDialer dialer({.connections = 1, .timeout = 50ms}, std::chrono::steady_clock::now(),
                       [this](std::size_t, Instant due) -> BenchSocket& {
                           socket.open(server.target, BenchStream::websocket, "b", due);
                           return socket;
                       });

    turn_until([&] {
        dialer.step(std::chrono::steady_clock::now());
        return dialer.done();
    });

    EXPECT_THAT(ends, ElementsAre("no handshake: no answer within 50 ms"));
}

TEST_F(BenchSocketTest, TheDialerKeepsItsRateAndItsLimit) {
    const Instant begin{1h};
    std::deque<BenchSocket> sockets;
    std::vector<Instant> dues;
    BenchDialer dialer({.connections = 100, .rate_per_s = 10, .handshakes = 3}, begin,
                       [&](std::size_t number, Instant due) -> BenchSocket& {
                           dues.push_back(due);
                           BenchSocketOwner& owner = *this;
                           auto& one = sockets.emplace_back(loop, owner, number);
                           one.open(server.target, BenchStream::websocket, "b", due);
                           return one;
                       });

    dialer.step(begin);
    EXPECT_THAT(dues, ElementsAre(begin));
    dialer.step(begin + 150ms);
    EXPECT_THAT(dues, ElementsAre(begin, begin + 100ms));
    dialer.step(begin + 5s);
    EXPECT_EQ(dues.size(), 3U) << "three handshakes are under way";
    dialer.stop();
    for (auto& one : sockets) {
        one.give_up("enough");
    }
    dialer.step(begin + 5s);
    EXPECT_TRUE(dialer.done());
    EXPECT_EQ(dialer.begun(), 3U);
}

}  // namespace
}  // namespace boardbus::cli
