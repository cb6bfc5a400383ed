// SPDX-License-Identifier: Apache-2.0
#include "bench/fanout_socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "cli/demo_streams.h"

namespace boardbus::bench {
namespace {

// Holds what a reader gets in one turn at saturation; a single event is smaller than half of it.
constexpr std::size_t kReceiveBytes = 512 * 1024;
constexpr std::array<char, 4> kMaskingKey = {'\x37', '\x5a', '\x11', '\x2c'};
constexpr std::uint8_t kCompressed = 0x40;

struct FrameHead {
    std::size_t head_bytes = 0;  // 0: not all of it is there.
    std::size_t payload_bytes = 0;
};

/// Of a server's frame: unmasked. What is longer than 64 KiB is none of ours and never becomes complete.
FrameHead read_head(std::string_view bytes) {
    const auto byte = [bytes](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    if (bytes.size() < 2) {
        return {};
    }
    const std::size_t length = byte(1);
    if (length < 126) {
        return {.head_bytes = 2, .payload_bytes = length};
    }
    if (length > 126 || bytes.size() < 4) {
        return {};
    }
    return {.head_bytes = 4, .payload_bytes = std::size_t{byte(2)} << 8 | byte(3)};
}

bool set(int fd, int level, int option) {
    const int yes = 1;
    return ::setsockopt(fd, level, option, &yes, sizeof yes) == 0;
}

}  // namespace

void FanoutSocket::open(const Route& route) {
    was_open_ = false;
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto* source = reinterpret_cast<const sockaddr*>(&route.source);
    const auto* server = reinterpret_cast<const sockaddr*>(&route.server);
    // The port is chosen by connect(), which knows that it may serve again towards another server.
    const bool ready = fd_ && set(fd_.get(), IPPROTO_TCP, TCP_NODELAY) &&
                       set(fd_.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) &&
                       ::bind(fd_.get(), source, sizeof route.source) == 0;
    if (!ready || (::connect(fd_.get(), server, sizeof route.server) != 0 && errno != EINPROGRESS)) {
        const std::string why = std::strerror(errno);
        fd_.reset();
        owner_.on_ended(*this, 0, "no connection: " + why);
        return;
    }
    received_.clear();
    unsent_ = route.request;
    state_ = State::connecting;
    wants_out_ = true;
    loop_.add(fd_.get(), EPOLLIN | EPOLLOUT, *this);
}

void FanoutSocket::cut() {
    if (fd_) {
        loop_.remove(fd_.get(), *this);
        fd_.reset();
    }
    state_ = State::closed;
}

void FanoutSocket::send_text(std::string_view text) {
    unsent_ += cli::client_frame(web::Opcode::text, text, kMaskingKey);
}

void FanoutSocket::flush() {
    if (unsent_.empty() || !fd_) {
        return;
    }
    const auto sent = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        end(0, std::strerror(errno));
        return;
    }
    unsent_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    watch();
}

void FanoutSocket::resume() {
    resumed_ = true;
    if (fd_) {
        loop_.modify(fd_.get(), EPOLLIN | (wants_out_ ? EPOLLOUT : 0U), *this);
    }
}

void FanoutSocket::watch() {
    if (std::exchange(wants_out_, !unsent_.empty()) != wants_out_) {
        loop_.modify(fd_.get(), EPOLLIN | (wants_out_ ? EPOLLOUT : 0U), *this);
    }
}

void FanoutSocket::on_ready(std::uint32_t events) {
    if (state_ == State::connecting) {
        on_connected();
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
    if ((events & ~EPOLLOUT) != 0 && fd_) {
        receive();
    }
}

void FanoutSocket::on_connected() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        end(0, std::string("no connection: ") + std::strerror(error));
        return;
    }
    state_ = State::upgrading;
    flush();
}

void FanoutSocket::receive() {
    static std::array<char, kReceiveBytes> buffer;
    const std::size_t kept = received_.size();
    std::memcpy(buffer.data(), received_.data(), kept);
    const auto got = ::recv(fd_.get(), buffer.data() + kept, buffer.size() - kept, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        end(0, got == 0 ? "the server ended the connection" : std::strerror(errno));
        return;
    }
    const std::string_view bytes(buffer.data(), kept + static_cast<std::size_t>(got));
    const std::size_t used = take(bytes, std::chrono::steady_clock::now());
    if (!fd_) {
        return;
    }
    received_.assign(bytes.substr(used));
    if (received_.size() > buffer.size() / 2) {
        end(0, "what arrives is no event of ours");
        return;
    }
    if (state_ == State::open && mood_ == Mood::stalled && !resumed_) {
        loop_.modify(fd_.get(), 0, *this);
    }
}

std::size_t FanoutSocket::take(std::string_view bytes, Instant now) {
    std::size_t used = 0;
    if (state_ == State::upgrading) {
        used = take_answer(bytes);
        if (state_ != State::open) {
            return used;
        }
    }
    bytes.remove_prefix(used);
    return used + (wire_ == Wire::sse ? take_chunks(bytes, now) : take_frames(bytes, now));
}

std::size_t FanoutSocket::take_answer(std::string_view bytes) {
    const auto end_of_head = bytes.find("\r\n\r\n");
    if (end_of_head == std::string_view::npos) {
        return 0;
    }
    const std::string_view head = bytes.substr(0, end_of_head);
    const bool good = wire_ == Wire::sse ? head.starts_with("HTTP/1.1 200 ") : head.starts_with("HTTP/1.1 101 ");
    if (!good) {
        end(0, "refused: " + std::string(head.substr(0, head.find('\r'))));
        return 0;
    }
    if (wire_ == Wire::websocket_deflate && !head.contains("permessage-deflate")) {
        end(0, "the server does not compress");
        return 0;
    }
    state_ = State::open;
    was_open_ = true;
    owner_.on_open(*this);
    return end_of_head + 4;
}

std::size_t FanoutSocket::take_frames(std::string_view bytes, Instant now) {
    std::size_t used = 0;
    while (fd_) {
        const std::string_view rest = bytes.substr(used);
        const FrameHead head = read_head(rest);
        if (head.head_bytes == 0 || rest.size() - head.head_bytes < head.payload_bytes) {
            break;
        }
        used += head.head_bytes + head.payload_bytes;
        on_frame(static_cast<std::uint8_t>(rest[0]), rest.substr(head.head_bytes, head.payload_bytes), now);
    }
    return used;
}

void FanoutSocket::on_frame(std::uint8_t first_byte, std::string_view payload, Instant now) {
    const auto opcode = static_cast<web::Opcode>(first_byte & 0x0FU);
    if (opcode == web::Opcode::text) [[likely]] {
        if ((first_byte & kCompressed) != 0) {
            if (const auto event = numbers_.in_deflated(payload, seat.next)) {
                owner_.on_event(*this, event->number, event->text_bytes, now);
            }
        } else if (const auto number = numbers_.in_text(payload)) [[likely]] {
            owner_.on_event(*this, *number, payload.size(), now);
        } else {
            owner_.on_refused(*this, payload);
        }
    } else if (opcode == web::Opcode::ping) {
        unsent_ += cli::client_frame(web::Opcode::pong, payload, kMaskingKey);
        flush();
    } else if (opcode == web::Opcode::close) {
        const auto byte = [payload](std::size_t i) { return static_cast<std::uint8_t>(payload[i]); };
        const unsigned code = payload.size() < 2 ? web::close_code::kNone : unsigned{byte(0)} << 8 | byte(1);
        end(static_cast<std::uint16_t>(code),
            "closed by the server: " + std::string(payload.substr(std::min<std::size_t>(2, payload.size()))));
    }
}

std::size_t FanoutSocket::take_chunks(std::string_view bytes, Instant now) {
    std::size_t used = 0;
    while (fd_) {
        const std::string_view rest = bytes.substr(used);
        const auto line = rest.find("\r\n");
        std::size_t size = 0;
        if (line == std::string_view::npos ||
            std::from_chars(rest.data(), rest.data() + line, size, 16).ec != std::errc() ||
            rest.size() < line + 2 + size + 2) {
            break;
        }
        used += line + 2 + size + 2;
        const std::string_view event = rest.substr(line + 2, size);
        if (const auto number = numbers_.in_text(event)) {
            owner_.on_event(*this, *number, event.size(), now);
        }
    }
    return used;
}

void FanoutSocket::end(std::uint16_t code, const std::string& why) {
    cut();
    owner_.on_ended(*this, code, why);
}

}  // namespace boardbus::bench
