// SPDX-License-Identifier: Apache-2.0
#include "transport/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace boardbus::transport {
namespace {

// 64 KiB a read, shared by all streams of a thread: bytes are handed on before the next read.
constexpr std::size_t kReadBytes = 65536;
using ReadBuffer = std::array<char, kReadBytes>;
thread_local ReadBuffer network_buffer;
thread_local ReadBuffer plain_buffer;

// What a burst leaves behind as capacity; more is given back.
constexpr std::size_t kKeptCapacity = std::size_t{1} << 20;

// A peer that acknowledges nothing for so long is gone, whatever the kernel's own patience (15 minutes) says.
constexpr unsigned kUserTimeoutMs = 10'000;
// A silent one is asked after 5 s, then every 2 s.
constexpr int kKeepIdleSeconds = 5;
constexpr int kKeepIntervalSeconds = 2;

std::string errno_text(int code) {
    return std::generic_category().message(code);
}

template <typename T>
void set_option(int fd, int level, int name, T value) {
    // An option that the kernel lacks costs comfort, not correctness.
    (void)::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

std::string to_text(const Endpoint& endpoint) {
    const bool bracketed = endpoint.host.find(':') != endpoint.host.npos;
    return (bracketed ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

Stream::Stream(Loop& loop, StreamOwner& owner, TlsOptions tls)
    : loop_(loop), owner_(owner), tls_options_(std::move(tls)), resolver_(loop), timer_(loop, [this] { on_timer(); }) {}

Stream::~Stream() {
    close();
}

void Stream::open(const Endpoint& endpoint, std::chrono::milliseconds deadline) {
    close();
    endpoint_ = endpoint;
    state_ = State::resolving;
    deadline_ = loop_.now() + deadline;
    timer_.start(deadline);
    last_error_ = error(Errc::timeout, "its name was not resolved within " + std::to_string(deadline.count()) + " ms");
    if (const auto address = numeric_address(endpoint.host, endpoint.port)) {
        return on_resolved(std::vector{*address});
    }
    resolver_.resolve(endpoint.host, endpoint.port, [this](auto addresses) { on_resolved(std::move(addresses)); });
}

void Stream::write(std::string_view bytes) {
    if (!is_open()) {
        return;
    }
    if (sent_ > wire_.size() / 2) {
        wire_.erase(0, sent_);
        sent_ = 0;
    }
    (tls_ ? plain_ : wire_).append(bytes);
    if (flushed_at_ == loop_.now()) {
        // This turn's end is over for us, and nothing else may wake the next one.
        loop_.again();
    }
}

void Stream::close() {
    ++life_;
    state_ = State::closed;
    resolver_.cancel();
    timer_.stop();
    ending_.reset();
    drop_socket();
}

void Stream::drop_socket() {
    if (fd_) {
        loop_.remove(fd_.get(), *this);
        loop_.remove_turn_end(*this);
        fd_.reset();
    }
    tls_.reset();
    plain_.clear();
    wire_.clear();
    sent_ = 0;
    wants_out_ = false;
}

void Stream::on_resolved(Result<std::vector<SocketAddress>> addresses) {
    if (!addresses) {
        return end_soon(error(Errc::unavailable, addresses.error().detail));
    }
    addresses_ = std::move(*addresses);
    next_address_ = 0;
    last_error_ = error(Errc::unavailable, "the name has no address");
    try_next_address();
}

void Stream::try_next_address() {
    while (next_address_ < addresses_.size()) {
        const auto share = (deadline_ - loop_.now()) / static_cast<long>(addresses_.size() - next_address_);
        drop_socket();
        if (connect_to(addresses_[next_address_++])) {
            state_ = State::connecting;
            timer_.start(share);
            return;
        }
    }
    // A socket that has failed would go on to report itself.
    drop_socket();
    end_soon(last_error_);
}

bool Stream::connect_to(const SocketAddress& address) {
    fd_.reset(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!fd_) {
        last_error_ = error(Errc::unavailable, errno_text(errno));
        return false;
    }
    set_option(fd_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
    set_option(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd_.get(), IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
    set_option(fd_.get(), IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 &&
        errno != EINPROGRESS) {
        last_error_ = error(Errc::unavailable, errno_text(errno));
        fd_.reset();
        return false;
    }
    loop_.add(fd_.get(), EPOLLOUT, *this);
    // Not before, so that the turn ends of its users, who are there by now, run first and what they write leaves in the same turn.
    loop_.add_turn_end(*this);
    return true;
}

void Stream::on_ready(std::uint32_t events) {
    if (state_ == State::connecting) {
        int code = 0;
        socklen_t size = sizeof code;
        ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &code, &size);
        return code == 0 ? on_connected() : attempt_failed(Errc::unavailable, errno_text(code));
    }
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        receive();
    }
}

void Stream::on_connected() {
    loop_.modify(fd_.get(), EPOLLIN, *this);
    if (!endpoint_.tls) {
        return on_secured();
    }
    state_ = State::securing;
    auto client = TlsClient::create(tls_options_, endpoint_.host);
    if (!client) {
        drop_socket();
        return end_soon(error(client.error().code, client.error().detail));
    }
    tls_ = std::move(*client);
    [[maybe_unused]] const auto begun = tls_->handshake();  // The first step only speaks.
    tls_->take_output(wire_);
}

void Stream::on_secured() {
    state_ = State::open;
    timer_.stop();
    addresses_.clear();
    owner_.on_open();
}

void Stream::receive() {
    const ssize_t count = ::recv(fd_.get(), network_buffer.data(), network_buffer.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        const std::string why = count == 0 ? "closed by the other side" : errno_text(errno);
        return is_open() ? end(error(Errc::unavailable, why)) : attempt_failed(Errc::unavailable, why);
    }
    const std::string_view bytes(network_buffer.data(), static_cast<std::size_t>(count));
    if (!tls_) {
        return owner_.on_bytes(bytes);
    }
    tls_->receive(bytes);
    decrypt();
}

void Stream::decrypt() {
    const std::uint64_t life = life_;
    if (state_ == State::securing) {
        const auto done = tls_->handshake();
        tls_->take_output(wire_);  // An alert, too, tells the other side why.
        if (!done) {
            flush();
            // All addresses of a name show the same certificate as a rule: the reason is better than another attempt.
            return end(error(done.error().code, done.error().detail));
        }
        if (!*done) {
            return;
        }
        on_secured();
    }
    while (life == life_) {
        std::size_t size = 0;
        Result<std::size_t> count = 0;
        do {
            count = tls_->read(std::span(plain_buffer).subspan(size));
            size += count.value_or(0);
        } while (count && *count > 0 && size < plain_buffer.size());
        tls_->take_output(wire_);
        if (size > 0) {
            owner_.on_bytes({plain_buffer.data(), size});
        }
        if (life == life_ && !count) {
            const Errc code = count.error().code == Errc::closed ? Errc::unavailable : Errc::refused;
            return end(error(code, count.error().detail));
        }
        if (size < plain_buffer.size()) {
            return;
        }
    }
}

void Stream::on_turn_end() {
    flushed_at_ = loop_.now();
    if (!wants_out_ && unsent() > 0) {
        flush();
    }
}

void Stream::flush() {
    if (!plain_.empty()) {
        if (auto written = tls_->write(plain_); !written) {
            return end_soon(error(written.error().code, written.error().detail));
        }
        plain_.clear();
        tls_->take_output(wire_);
    }
    const ssize_t count = ::send(fd_.get(), wire_.data() + sent_, wire_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
        const int code = errno;
        wire_.clear();
        sent_ = 0;
        // Soon, not now: what the other side said before it left is read first.
        return end_soon(error(Errc::unavailable, errno_text(code)));
    }
    sent_ += count > 0 ? static_cast<std::size_t>(count) : 0;
    if (sent_ == wire_.size()) {
        wire_.clear();
        sent_ = 0;
        if (wire_.capacity() > kKeptCapacity) {
            wire_.shrink_to_fit();
            plain_.shrink_to_fit();
        }
    }
    if (wants_out_ != !wire_.empty()) {
        wants_out_ = !wire_.empty();
        loop_.modify(fd_.get(), wants_out_ ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
    }
}

void Stream::on_timer() {
    if (ending_) {
        return end(*ending_);
    }
    if (state_ == State::resolving) {
        return end(last_error_);
    }
    attempt_failed(Errc::timeout,
                   state_ == State::securing ? "no answer to the TLS handshake in time" : "not reached in time");
}

void Stream::attempt_failed(Errc code, std::string_view why) {
    last_error_ = error(code, why);
    try_next_address();
}

void Stream::end_soon(Error error) {
    ending_ = std::move(error);
    timer_.start({});
}

void Stream::end(Error error) {
    close();
    owner_.on_closed(error);
}

Error Stream::error(Errc code, std::string_view why) const {
    return Error{code, to_text(endpoint_) + ": " + std::string(why)};
}

}  // namespace boardbus::transport
