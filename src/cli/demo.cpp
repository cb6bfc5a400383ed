// `boardbus demo`: does the whole pipeline work?
//
// Opens an SSE stream and a WebSocket, posts one message over the WebSocket and waits for the event on both. Says what came, how long
// it took, or why nothing did. Blocking sockets; one deadline for everything.
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <cstdio>
#include <cstring>
#include <optional>

#include "base/random.h"
#include "cli/commands.h"
#include "cli/demo_streams.h"
#include "cli/plain_socket.h"
#include "web/ws_handshake.h"

namespace boardbus::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string random_key() {
    // 16 bytes in base64: 22 digits, the last with four zero bits, and the padding. Hexadecimal digits are base64 digits, too.
    std::string digits = random_uuid();
    std::erase(digits, '-');
    return digits.substr(0, 21) + "A==";
}

std::array<char, 4> random_mask() {
    std::array<char, 4> key{};
    const auto dice = random_u64();
    std::memcpy(key.data(), &dice, key.size());
    return key;
}

std::string percent_encoded(std::string_view text) {
    std::string out;
    for (const unsigned char c : text) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            std::string_view("-._~").contains(static_cast<char>(c))) {
            out += static_cast<char>(c);
        } else {
            constexpr std::string_view kDigits = "0123456789ABCDEF";
            out += {'%', kDigits[c >> 4], kDigits[c & 15U]};
        }
    }
    return out;
}

/// One run of the demo. Each step fails with the reason that the user is told.
class Demo {
  public:
    Demo(const DemoOptions& options, HttpUrl url)
        : options_(options),
          url_(std::move(url)),
          deadline_(Clock::now() + options.timeout),
          correlation_id_(random_uuid()) {}

    Result<void> run();
    void print() const;

  private:
    Result<HttpHead> open(std::optional<PlainSocket>& socket, std::string& received, const std::string& path,
                          const std::string& headers);
    Result<void> open_sse();
    Result<void> open_websocket();
    Result<void> post();
    Result<void> wait_for_more();
    Result<void> read_sse();
    Result<void> read_websocket();
    Result<void> on_frame(const ServerFrame& frame);
    std::string late() const;

    const DemoOptions& options_;
    const HttpUrl url_;
    const Deadline deadline_;
    const std::string correlation_id_;

    std::optional<PlainSocket> sse_;
    std::optional<PlainSocket> websocket_;
    std::string sse_received_;
    std::string sse_body_;
    BodyBytes sse_bytes_{false};
    std::string websocket_received_;
    Clock::time_point posted_at_;
    std::string event_;
    std::optional<Clock::duration> sse_trip_;
    std::optional<Clock::duration> websocket_trip_;
};

Result<void> Demo::run() {
    for (const auto step : {&Demo::open_sse, &Demo::open_websocket, &Demo::post}) {
        if (auto done = (this->*step)(); !done) {
            return done;
        }
    }
    // What came right behind the handshake is already here.
    for (auto read = read_websocket(); !sse_trip_ || !websocket_trip_; read = wait_for_more()) {
        if (!read) {
            return read;
        }
    }
    return {};
}

Result<HttpHead> Demo::open(std::optional<PlainSocket>& socket, std::string& received, const std::string& path,
                            const std::string& headers) {
    auto connected = PlainSocket::connect(url_, deadline_);
    if (!connected) {
        return std::unexpected(connected.error());
    }
    socket = std::move(*connected);
    const std::string request = "GET " + url_.path + path + " HTTP/1.1\r\nHost: " + url_.authority() +
                                "\r\nAuthorization: Bearer " + options_.token + "\r\n" + headers + "\r\n";
    if (auto sent = socket->send(request, deadline_); !sent) {
        return std::unexpected(sent.error());
    }
    return receive_head(*socket, received, deadline_);
}

Result<void> Demo::open_sse() {
    const auto head = open(sse_, sse_received_, "/sse/activity", "Accept: text/event-stream\r\n");
    if (!head) {
        return std::unexpected(head.error());
    }
    if (head->status != 200) {
        return fail(Errc::refused, "/sse/activity answered " + std::to_string(head->status) +
                                       (head->status == 401   ? ": the token is wrong"
                                        : head->status == 429 ? ": rate limit"
                                                              : ""));
    }
    sse_bytes_ = BodyBytes(head->header("transfer-encoding") == "chunked");
    return {};
}

Result<void> Demo::open_websocket() {
    const std::string key = random_key();
    const std::string path = "/ws/boards/" + percent_encoded(options_.board);
    const auto head = open(
        websocket_, websocket_received_, path,
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n");
    if (!head) {
        return std::unexpected(head.error());
    }
    if (head->status != 101 || head->header("sec-websocket-accept") != web::websocket_accept(key)) {
        return fail(Errc::refused, path + " answered " + std::to_string(head->status) + " to the WebSocket handshake");
    }
    return {};
}

Result<void> Demo::post() {
    const std::string message =
        R"({"action":"demo","user":"boardbus demo","message":"Hello from boardbus demo","correlation_id":")" +
        correlation_id_ + "\"}";
    posted_at_ = Clock::now();
    return websocket_->send(client_frame(web::Opcode::text, message, random_mask()), deadline_);
}

Result<void> Demo::wait_for_more() {
    std::array<pollfd, 2> watched = {{{sse_->fd(), POLLIN, 0}, {websocket_->fd(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
    if (left.count() <= 0 || (::poll(watched.data(), watched.size(), static_cast<int>(left.count())) == 0)) {
        return fail(Errc::timeout, late());
    }
    if (watched[1].revents != 0) {
        auto received = websocket_->receive(websocket_received_, deadline_);
        auto read = read_websocket();  // A close frame explains more than the end of the connection behind it.
        if (!read || !received) {
            return read ? fail(received.error().code, "WebSocket: " + received.error().detail) : read;
        }
    }
    if (watched[0].revents != 0) {
        if (auto received = sse_->receive(sse_received_, deadline_); !received) {
            return fail(received.error().code, "SSE: " + received.error().detail);
        }
        return read_sse();
    }
    return {};
}

Result<void> Demo::read_sse() {
    auto taken = sse_bytes_.take(sse_received_, sse_body_);
    while (auto event = take_sse_event(sse_body_)) {
        if (!sse_trip_ && event->contains(correlation_id_)) {
            sse_trip_ = Clock::now() - posted_at_;
            event_ = std::move(*event);
        }
    }
    return sse_trip_ ? Result<void>() : taken;
}

Result<void> Demo::read_websocket() {
    for (;;) {
        auto frame = take_server_frame(websocket_received_);
        if (!frame) {
            return std::unexpected(frame.error());
        }
        if (!*frame) {
            return {};
        }
        if (auto taken = on_frame(**frame); !taken) {
            return taken;
        }
    }
}

Result<void> Demo::on_frame(const ServerFrame& frame) {
    if (frame.opcode == web::Opcode::ping) {
        return websocket_->send(client_frame(web::Opcode::pong, frame.payload, random_mask()), deadline_);
    }
    if (frame.opcode == web::Opcode::close) {
        const auto byte = [&](std::size_t i) {
            return static_cast<unsigned>(static_cast<unsigned char>(frame.payload[i]));
        };
        const unsigned code = frame.payload.size() < 2 ? web::close_code::kNone : byte(0) << 8 | byte(1);
        const std::string reason = code == web::close_code::kUnauthorized    ? ": the token is wrong"
                                   : code == web::close_code::kTryAgainLater ? ": too many connections"
                                                                             : "";
        return fail(Errc::refused, "the WebSocket was closed with " + std::to_string(code) + reason);
    }
    if (frame.payload.contains(R"("kind":"error")") || frame.payload.contains(R"("kind": "error")")) {
        return fail(Errc::refused, (frame.payload.contains("event_bus_failure") ? "the bus did not take the message: "
                                                                                : "the message was refused: ") +
                                       frame.payload);
    }
    if (!websocket_trip_ && frame.payload.contains(correlation_id_)) {
        websocket_trip_ = Clock::now() - posted_at_;
    }
    return {};
}

std::string Demo::late() const {
    const std::string where = sse_trip_         ? "the WebSocket (SSE had it)"
                              : websocket_trip_ ? "SSE (the WebSocket had it)"
                                                : "either stream; is a worker running?";
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%g", static_cast<double>(options_.timeout.count()) / 1000);
    return std::string("no event within ") + seconds + " s on " + where;
}

void Demo::print() const {
    const auto ms = [](Clock::duration trip) { return std::chrono::duration<double, std::milli>(trip).count(); };
    std::printf("%s", event_.c_str());
    std::printf("board %s: posted over the WebSocket, back on the WebSocket after %.1f ms, on SSE after %.1f ms\n",
                options_.board.c_str(), ms(*websocket_trip_), ms(*sse_trip_));
}

}  // namespace

int run_demo(const DemoOptions& options) {
    auto url = parse_http_url(options.url);
    if (!url) {
        std::fprintf(stderr, "boardbus demo: %s: %s\n", options.url.c_str(), url.error().detail.c_str());
        return 2;
    }
    Demo demo(options, std::move(*url));
    if (const auto done = demo.run(); !done) {
        std::fprintf(stderr, "boardbus demo: %s\n", done.error().detail.c_str());
        return 1;
    }
    demo.print();
    return 0;
}

}  // namespace boardbus::cli
