// SPDX-License-Identifier: Apache-2.0
#include "transport/resolver.h"

#include <netdb.h>
#include <signal.h>

#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace boardbus::transport {
namespace {

// A name with more addresses than this is a mistake or a pool, and of a pool a few are enough.
constexpr std::size_t kAddressesMax = 8;

Result<std::vector<SocketAddress>> addresses_of(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | flags;
    addrinfo* list = nullptr;
    if (const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list); code != 0) {
        return fail(Errc::unavailable, host + ": " + ::gai_strerror(code));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(list, &::freeaddrinfo);
    std::vector<SocketAddress> addresses;
    for (const addrinfo* entry = list; entry != nullptr && addresses.size() < kAddressesMax; entry = entry->ai_next) {
        SocketAddress address{.storage = {}, .length = entry->ai_addrlen};
        std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
        addresses.push_back(address);
    }
    return addresses;
}

}  // namespace

struct Resolver::Mailbox {
    std::mutex mutex;  // Guards `loop`: the Loop may go as soon as the Resolver has.
    Loop* loop;
    Resolver* resolver;  // Loop only.
};

std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port) {
    const auto found = addresses_of(host, port, AI_NUMERICHOST);
    return found && !found->empty() ? std::optional(found->front()) : std::nullopt;
}

Resolver::Resolver(Loop& loop) : mailbox_(std::make_shared<Mailbox>()) {
    mailbox_->loop = &loop;
    mailbox_->resolver = this;
}

Resolver::~Resolver() {
    const std::scoped_lock lock(mailbox_->mutex);
    mailbox_->loop = nullptr;
    mailbox_->resolver = nullptr;
}

void Resolver::resolve(std::string host, std::uint16_t port, Done done) {
    wanted_ = Question{std::move(host), port, std::move(done)};
    if (!looking_) {
        look_up();
    }
}

void Resolver::look_up() {
    looking_ = true;
    // The thread inherits a mask that keeps the process's signals where they are handled.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread([mailbox = mailbox_, host = wanted_->host, port = wanted_->port] {
            auto answer = addresses_of(host, port, 0);
            const std::scoped_lock lock(mailbox->mutex);
            if (mailbox->loop != nullptr) {
                mailbox->loop->post([mailbox, host, port, found = std::move(answer)]() mutable {
                    if (mailbox->resolver != nullptr) {
                        mailbox->resolver->on_answer(host, port, std::move(found));
                    }
                });
            }
        }).detach();
    } catch (const std::system_error& error) {
        const std::string why = wanted_->host + ": no thread to look it up: " + error.what();
        mailbox_->loop->post([mailbox = mailbox_, host = wanted_->host, port = wanted_->port, why] {
            if (mailbox->resolver != nullptr) {
                mailbox->resolver->on_answer(host, port, fail(Errc::unavailable, why));
            }
        });
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Resolver::on_answer(const std::string& host, std::uint16_t port, Result<std::vector<SocketAddress>> answer) {
    looking_ = false;
    if (!wanted_) {
        return;
    }
    if (wanted_->host != host || wanted_->port != port) {
        return look_up();
    }
    Done done = std::move(wanted_->done);
    wanted_.reset();
    done(std::move(answer));
}

}  // namespace boardbus::transport
