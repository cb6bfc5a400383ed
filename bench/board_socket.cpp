// SPDX-License-Identifier: Apache-2.0
#include "bench/board_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/demo_streams.h"

namespace boardbus::bench {
namespace {

constexpr std::chrono::seconds kOpenTimeout{10};
// A frame that is longer is none of ours.
constexpr std::uint64_t kFrameMax = 16U << 20;
// Zeroes are a valid key, and the server's work is the same.
constexpr std::array<char, 4> kMaskingKey{};

/// Of the frame at the start of `bytes`; `whole` says whether all of it is there.
struct FrameHead {
    web::Opcode opcode{};
    std::size_t head_bytes = 0;
    std::uint64_t payload_bytes = 0;
    bool whole = false;
};

FrameHead read_head(std::string_view bytes) {
    FrameHead head;
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    if (bytes.size() < 2) {
        return head;
    }
    head.opcode = static_cast<web::Opcode>(byte(0) & 0x0FU);
    head.payload_bytes = byte(1);
    const std::size_t length_bytes = head.payload_bytes == 127 ? 8 : head.payload_bytes == 126 ? 2 : 0;
    head.head_bytes = 2 + length_bytes;
    if (bytes.size() < head.head_bytes) {
        return head;
    }
    if (length_bytes > 0) {
        head.payload_bytes = 0;
        for (std::size_t i = 0; i < length_bytes; ++i) {
            head.payload_bytes = head.payload_bytes << 8 | byte(2 + i);
        }
    }
    head.whole = bytes.size() - head.head_bytes >= head.payload_bytes;
    return head;
}

}  // namespace

Result<OpenedSocket> open_websocket(const cli::HttpUrl& url, const std::string& path, const std::string& token) {
    const auto deadline = std::chrono::steady_clock::now() + kOpenTimeout;
    auto socket = cli::PlainSocket::connect(url, deadline);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const int yes = 1;
    ::setsockopt(socket->fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    const std::string request = "GET " + url.path + path + " HTTP/1.1\r\nHost: " + url.authority() +
                                "\r\nAuthorization: Bearer " + token +
                                "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    if (auto sent = socket->send(request, deadline); !sent) {
        return std::unexpected(sent.error());
    }
    std::string received;
    const auto head = cli::receive_head(*socket, received, deadline);
    if (!head) {
        return std::unexpected(head.error());
    }
    if (head->status != 101) {
        return fail(Errc::refused, path + " answered " + std::to_string(head->status));
    }
    return OpenedSocket{std::move(*socket), std::move(received)};
}

BoardSocket::BoardSocket(Loop& loop, BoardSocketOwner& owner, OpenedSocket opened, std::size_t number)
    : loop_(loop),
      owner_(owner),
      number_(number),
      socket_(std::move(opened.socket)),
      received_(std::move(opened.received)) {
    loop_.add(socket_.fd(), EPOLLIN, *this);
}

BoardSocket::~BoardSocket() {
    if (!lost_) {
        loop_.remove(socket_.fd(), *this);
    }
}

void BoardSocket::send_text(std::string_view text) {
    unsent_ += cli::client_frame(web::Opcode::text, text, kMaskingKey);
}

void BoardSocket::flush() {
    if (unsent_.empty() || lost_) {
        return;
    }
    const auto sent = ::send(socket_.fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        unsent_.erase(0, static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
        lose(std::strerror(errno));
        return;
    }
    if (std::exchange(wants_out_, !unsent_.empty()) != wants_out_) {
        loop_.modify(socket_.fd(), EPOLLIN | (wants_out_ ? EPOLLOUT : 0U), *this);
    }
}

void BoardSocket::on_ready(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
    if ((events & ~EPOLLOUT) != 0 && !lost_) {
        receive();
    }
}

void BoardSocket::receive() {
    static std::array<char, 64 * 1024> buffer;  // One for all sockets: only the unfinished rest of a frame is kept.
    const auto got = ::recv(socket_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        lose(got == 0 ? "the server closed the connection" : std::strerror(errno));
        return;
    }
    received_.append(buffer.data(), static_cast<std::size_t>(got));
    read_frames(std::chrono::steady_clock::now());
}

void BoardSocket::read_frames(Instant now) {
    std::string_view rest = received_;
    for (FrameHead head = read_head(rest); head.whole && !lost_; head = read_head(rest)) {
        const auto payload_bytes = static_cast<std::size_t>(head.payload_bytes);
        on_frame(head.opcode, rest.substr(head.head_bytes, payload_bytes), now);
        rest.remove_prefix(head.head_bytes + payload_bytes);
    }
    received_.erase(0, received_.size() - rest.size());
    if (received_.size() > kFrameMax) {
        lose("a frame is longer than 16 MiB");
    }
}

void BoardSocket::on_frame(web::Opcode opcode, std::string_view payload, Instant now) {
    switch (opcode) {
        case web::Opcode::text:
            owner_.on_text(*this, payload, now);
            break;
        case web::Opcode::ping:
            unsent_ += cli::client_frame(web::Opcode::pong, payload, kMaskingKey);
            flush();
            break;
        case web::Opcode::close:
            lose("the server closed: " + std::string(payload.substr(std::min<std::size_t>(2, payload.size()))));
            break;
        case web::Opcode::continuation:
        case web::Opcode::binary:
        case web::Opcode::pong:
            break;
    }
}

void BoardSocket::lose(const std::string& why) {
    lost_ = true;
    loop_.remove(socket_.fd(), *this);
    owner_.on_lost(why);
}

}  // namespace boardbus::bench
