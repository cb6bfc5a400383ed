// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/random.h"
#include "cli/demo_streams.h"
#include "cli/plain_socket.h"

namespace boardbus::cli {
namespace {

// A message or event that is longer is none of ours.
constexpr std::size_t kMessageMax = std::size_t{16} << 20;
constexpr web::WsRules kRules{.message_bytes_max = kMessageMax, .sender = web::Sender::server};

constexpr std::size_t kUnsentMax = std::size_t{16} << 20;

// One read buffer for all sockets of the thread: only what is unfinished is kept.
constexpr std::size_t kReadBytes = 64 * 1024;

/// An address of 127.0.0.0/8 for connection `number`, so that each address has its own ports.
sockaddr_in source_address(std::size_t number, std::size_t sources) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(number % sources));
    return address;
}

std::string close_text(unsigned code) {
    const char* meaning = code == web::close_code::kUnauthorized    ? " (wrong or missing token)"
                          : code == web::close_code::kTryAgainLater ? " (too many connections, or a reader too slow)"
                          : code == web::close_code::kGoingAway     ? " (the server stops)"
                                                                    : "";
    return "closed with " + std::to_string(code) + meaning;
}

std::string status_text(int status) {
    return "HTTP " + std::to_string(status) +
           (status == 401   ? " (wrong or missing token)"
            : status == 429 ? " (rate limit of one client address)"
                            : "");
}

}  // namespace

struct BenchSocket::SseBody {
    BodyBytes chunks;
    std::string received;  // Bound: one chunk head and one read.
    std::string body;      // Bound: kMessageMax and one read.
};

BenchSocket::BenchSocket(Loop& loop, BenchSocketOwner& owner, std::size_t number)
    : loop_(loop), owner_(owner), number_(number) {}

BenchSocket::~BenchSocket() {
    if (fd_) {
        loop_.remove(fd_.get(), *this);
    }
}

void BenchSocket::open(const BenchTarget& target, BenchStream stream, const std::string& board, Instant due) {
    target_ = &target;
    stream_ = stream;
    due_ = due;
    state_ = State::connecting;
    fd_.reset(::socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) {
        return give_up(std::string("no socket: ") + std::strerror(errno));
    }
    const int yes = 1;
    // Options that a kernel lacks cost comfort, not correctness.
    (void)::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (target.sources > 1) {
        // The port is chosen at connect(), when the other end is known; at bind() it would be taken from all of them.
        (void)::setsockopt(fd_.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        const sockaddr_in source = source_address(number_, target.sources);
        if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
            return give_up(std::string("not bound: ") + std::strerror(errno));
        }
    }
    unsent_ = "GET " + target.path + (stream == BenchStream::sse ? "/sse/boards/" : "/ws/boards/") + board +
              " HTTP/1.1\r\nHost: " + target.authority + "\r\nAuthorization: Bearer " + target.token +
              (stream == BenchStream::sse ? "\r\nAccept: text/event-stream\r\n\r\n"
                                          : "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
                                            "13\r\nSec-WebSocket-Key: " +
                                                target.key + "\r\n\r\n");
    loop_.add(fd_.get(), EPOLLOUT, *this);
    wants_out_ = true;
    const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
    if (::connect(fd_.get(), address, target.address_bytes) != 0 && errno != EINPROGRESS) {
        give_up(std::string("not connected: ") + std::strerror(errno));
    }
}

void BenchSocket::send_text(std::string_view text) {
    send_frame(web::Opcode::text, text);
}

void BenchSocket::send_frame(web::Opcode opcode, std::string_view payload) {
    if (state_ == State::ended) {
        return;
    }
    if (unsent_.size() > kUnsentMax) {
        return give_up("not sent: the server has left 16 MiB unread");
    }
    std::array<char, 4> key{};
    const std::uint64_t dice = random_u64();
    std::memcpy(key.data(), &dice, key.size());
    unsent_ += client_frame(opcode, payload, key);
}

void BenchSocket::flush() {
    if (unsent_.empty() || state_ == State::ended || state_ == State::connecting) {
        return;
    }
    const auto sent = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
        unsent_.erase(0, static_cast<std::size_t>(sent));
        if (unsent_.empty() && is_opening()) {
            unsent_.shrink_to_fit();  // The request: most sockets never send anything else.
        }
    } else if (errno != EAGAIN && errno != EINTR) {
        return give_up(std::string("not sent: ") + std::strerror(errno));
    }
    watch(!unsent_.empty());
}

void BenchSocket::watch(bool for_output) {
    if (std::exchange(wants_out_, for_output) != for_output) {
        loop_.modify(fd_.get(), for_output ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
    }
}

void BenchSocket::give_up(const std::string& why) {
    if (state_ == State::ended || state_ == State::idle) {
        return;
    }
    state_ = State::ended;
    if (fd_) {
        loop_.remove(fd_.get(), *this);
        fd_.reset();
    }
    unsent_ = {};
    head_ = {};
    owner_.on_end(*this, why);
}

void BenchSocket::on_ready(std::uint32_t events) {
    if (state_ == State::connecting) {
        return on_connected();
    }
    // What the server said before it left is read before a failed write ends the connection.
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) {
        receive();
    }
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
}

void BenchSocket::on_connected() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        return give_up(std::string("not connected: ") + std::strerror(error));
    }
    state_ = State::opening;
    loop_.modify(fd_.get(), EPOLLIN | EPOLLOUT, *this);
    flush();
}

void BenchSocket::receive() {
    thread_local std::array<char, kReadBytes> buffer;
    const auto got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        const std::string when = state_ == State::open ? "connection lost: " : "no handshake: ";
        return give_up(when + (got == 0 ? "closed by the server without a word" : std::strerror(errno)));
    }
    on_bytes(std::span(buffer).first(static_cast<std::size_t>(got)), std::chrono::steady_clock::now());
}

void BenchSocket::on_bytes(std::span<char> bytes, Instant now) {
    if (state_ == State::opening) {
        std::string received = std::exchange(head_, {});
        received.append(bytes.data(), bytes.size());
        read_head(received, now);
        bytes = {};
        if (state_ != State::open) {
            head_ = state_ == State::opening ? std::move(received) : std::string();
            return;
        }
        return stream_ == BenchStream::sse ? read_events(received, now) : read_frames(received, now);
    }
    return stream_ == BenchStream::sse ? read_events(bytes, now) : read_frames(bytes, now);
}

void BenchSocket::read_head(std::string& received, Instant now) {
    const auto head = take_head(received);
    if (!head) {
        return give_up("no handshake: " + head.error().detail);
    }
    if (!*head) {
        return;
    }
    const HttpHead& answer = **head;
    if (answer.status != (stream_ == BenchStream::sse ? 200 : 101)) {
        return give_up(status_text(answer.status));
    }
    if (stream_ == BenchStream::sse) {
        if (!answer.header("content-type").starts_with("text/event-stream")) {
            return give_up("no handshake: the answer is not an event stream");
        }
        sse_ = std::make_unique<SseBody>(BodyBytes(answer.header("transfer-encoding") == "chunked"));
    } else if (answer.header("sec-websocket-accept") != target_->accept) {
        return give_up("no handshake: wrong Sec-WebSocket-Accept");
    }
    state_ = State::open;
    was_open_ = true;
    owner_.on_open(*this, now - due_);
}

void BenchSocket::read_frames(std::span<char> bytes, Instant now) {
    while (state_ == State::open) {
        const web::WsEvent event = input_.next(bytes, kRules);
        switch (event.kind) {
            case web::WsEvent::Kind::none:
                return;
            case web::WsEvent::Kind::text:
                owner_.on_text(*this, event.payload, now);
                break;
            case web::WsEvent::Kind::ping:
                send_frame(web::Opcode::pong, event.payload);
                flush();
                break;
            case web::WsEvent::Kind::pong:
                break;
            case web::WsEvent::Kind::close:
                return give_up(close_text(event.code));
            case web::WsEvent::Kind::failure:
                return give_up("broken WebSocket: " + std::string(event.payload));
        }
    }
}

void BenchSocket::read_events(std::span<char> bytes, Instant now) {
    SseBody& sse = *sse_;
    sse.received.append(bytes.data(), bytes.size());
    const auto taken = sse.chunks.take(sse.received, sse.body);
    std::size_t begin = 0;
    for (auto end = sse.body.find("\n\n"); end != std::string::npos && state_ == State::open;
         end = sse.body.find("\n\n", begin)) {
        owner_.on_text(*this, std::string_view(sse.body).substr(begin, end - begin), now);
        begin = end + 2;
    }
    sse.body.erase(0, begin);
    if (sse.body.empty() && sse.body.capacity() > kReadBytes) {
        sse.body.shrink_to_fit();
    }
    if (!taken) {
        return give_up("stream ended: " + taken.error().detail);
    }
    if (sse.body.size() > kMessageMax || sse.received.size() > kReadBytes) {
        give_up("broken stream: an event over 16 MiB, or a chunk without a size");
    }
}

}  // namespace boardbus::cli
