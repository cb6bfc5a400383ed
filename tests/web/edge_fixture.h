// An edge with everything around it made of simple parts: one loop, a bus that is a function, clients that are sockets.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "board/activity.h"
#include "board/envelope.h"
#include "hub/fake_history.h"
#include "hub/hub.h"
#include "telemetry/metrics.h"
#include "web/edge.h"

namespace boardbus::web {

/// Accepts everything at once and shows it, unless told to keep, reject or lose.
class FakeBus final : public board::Publisher {
  public:
    FakeBus(hub::Hub& hub, hub::FakeHistory& history) : hub_(hub), history_(history) {}

    void publish(board::Publication publication, board::PublishDone done) override {
        published.push_back(publication);
        if (outcome == board::PublishOutcome::accepted) {
            show(publication);
        }
        if (keeping) {
            kept.push_back(std::move(done));
        } else {
            done({outcome, outcome == board::PublishOutcome::accepted ? "" : "test"});
        }
    }

    void show(const board::Publication& publication) {
        const std::string activity = board::encode_activity(*board::decode_envelope(publication.body));
        hub_.on_activities({history_.add(board::parse_activity(activity).value())});
    }

    void answer_all() {
        for (auto& done : std::exchange(kept, {})) {
            done({outcome, ""});
        }
    }

    board::PublishOutcome outcome = board::PublishOutcome::accepted;
    bool keeping = false;
    std::vector<board::PublishDone> kept;
    std::vector<board::Publication> published;

  private:
    hub::Hub& hub_;
    hub::FakeHistory& history_;
};

/// The client's end of a connection, as bytes.
class Client {
  public:
    Client(Loop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {}

    void send(std::string_view bytes) const {
        ASSERT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    /// Turns the loop until `text` has arrived; everything up to and with it. Fails the test after two seconds.
    std::string until(std::string_view text) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        while (received_.find(text) == std::string::npos) {
            if (std::chrono::steady_clock::now() > deadline || ended_) {
                ADD_FAILURE() << "no \"" << text << "\" in \"" << received_ << '"';
                return std::exchange(received_, {});
            }
            loop_.turn(std::chrono::milliseconds(10));
            take();
        }
        const auto end = received_.find(text) + text.size();
        std::string result = received_.substr(0, end);
        received_.erase(0, end);
        return result;
    }

    /// Turns the loop until the server has closed; what it said last.
    std::string until_end() {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (!ended_ && std::chrono::steady_clock::now() < deadline) {
            loop_.turn(std::chrono::milliseconds(10));
            take();
        }
        EXPECT_TRUE(ended_);
        return std::exchange(received_, {});
    }

    /// What has arrived after a few turns.
    std::string now() {
        for (int i = 0; i < 5; ++i) {
            loop_.turn(std::chrono::milliseconds(0));
            take();
        }
        return std::exchange(received_, {});
    }

    void hang_up() { fd_.reset(); }
    int fd() const { return fd_.get(); }

  private:
    void take() {
        char buffer[65536];
        ssize_t size = 0;
        while ((size = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
            received_.append(buffer, static_cast<std::size_t>(size));
        }
        ended_ = ended_ || size == 0 || errno != EAGAIN;
    }

    Loop& loop_;
    UniqueFd fd_;
    std::string received_;
    bool ended_ = false;
};

/// A client's frame; the masking key is zero, so the payload stays readable.
inline std::string client_frame(std::string_view payload, char opcode = 1) {
    std::string frame{static_cast<char>(0x80 | opcode)};
    if (payload.size() < 126) {
        frame += static_cast<char>(0x80 | payload.size());
    } else {
        frame += static_cast<char>(0x80 | 126);
        frame += static_cast<char>(payload.size() >> 8);
        frame += static_cast<char>(payload.size() & 0xFF);
    }
    return frame.append(4, '\0').append(payload);
}

/// The same frame so many times.
inline std::string client_frames(int count, std::string_view payload) {
    std::string frames;
    for (; count > 0; --count) {
        frames += client_frame(payload);
    }
    return frames;
}

inline std::size_t count_of(std::string_view what, std::string_view text) {
    std::size_t found = 0;
    for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) {
        ++found;
    }
    return found;
}

class EdgeTest : public testing::Test {
  protected:
    EdgeTest() {
        hub.set_history(history);
        hub.on_begin("e1", 0);
        hub.on_live(true);
    }

    static Options test_options() {
        Options options;
        options.token = "secret";
        options.default_rate_limit.reset();
        options.stream_rate_limit.reset();
        return options;
    }

    Edge& edge() {
        if (!edge_) {
            edge_ = std::make_unique<Edge>(loop, options, services);
        }
        return *edge_;
    }

    Client connect() {
        int pair[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        edge().adopt(UniqueFd(pair[0]), Address::parse("192.0.2.7").value());
        return Client(loop, UniqueFd(pair[1]));
    }

    Client open_ws(std::string_view path = "/ws/boards/b1?token=secret", std::string_view headers = "") {
        Client client = connect();
        client.send(handshake(path, headers));
        EXPECT_TRUE(client.until("\r\n\r\n").starts_with("HTTP/1.1 101"));
        return client;
    }

    static std::string handshake(std::string_view path, std::string_view headers = "") {
        return "GET " + std::string(path) +
               " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
               std::string(headers) + "\r\n";
    }

    static std::string get(std::string_view path, std::string_view headers = "") {
        return "GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(headers) + "\r\n";
    }

    Options options = test_options();
    Loop loop;
    telemetry::Metrics metrics;
    hub::Hub hub{loop, make_ws_encoder(), metrics};
    hub::FakeHistory history;
    FakeBus bus{hub, history};
    hub::SlowBudget slow_budget{256 << 10, 16 << 20};
    Readiness readiness;
    Pages pages{options};
    MemoryRateLimits rate_limits;
    Occupancy occupancy{Places(1000), Places(100)};
    EdgeServices services{loop, bus, hub, slow_budget, metrics, readiness, pages, rate_limits, occupancy};

  private:
    std::unique_ptr<Edge> edge_;
};

}  // namespace boardbus::web
