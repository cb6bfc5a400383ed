// SPDX-License-Identifier: Apache-2.0
#include "bench/fanout_crowd.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace boardbus::bench {
namespace {

// A server that refuses more often than this will not take the rest either.
constexpr std::uint64_t kStormFailuresMax = 100'000;

Result<sockaddr_in> loopback(const std::string& text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto colon = text.find(':');
    const std::string host = text.substr(0, colon);
    std::uint16_t port = 0;
    const bool has_port = colon != std::string::npos &&
                          std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ec == std::errc();
    // Only this machine may be loaded: it is a measuring instrument, not a weapon.
    if (!has_port || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1 ||
        (ntohl(address.sin_addr.s_addr) >> 24) != 127) {
        return fail(Errc::invalid, "--server must be 127.x.x.x:PORT, not " + text);
    }
    address.sin_port = htons(port);
    return address;
}

}  // namespace

Result<std::unique_ptr<Crowd>> Crowd::make(Loop& loop, CrowdOwner& owner, FanoutLedger& ledger,
                                           const CrowdOptions& options) {
    const auto server = loopback(options.server);
    if (!server) {
        return std::unexpected(server.error());
    }
    return std::unique_ptr<Crowd>(new Crowd(loop, owner, ledger, options, *server));
}

Crowd::Crowd(Loop& loop, CrowdOwner& owner, FanoutLedger& ledger, const CrowdOptions& options, sockaddr_in server)
    : owner_(owner), ledger_(ledger), options_(options), server_(server) {
    const auto add = [&](std::size_t count, Wire wire, Mood mood) {
        for (std::size_t i = 0; i < count; ++i) {
            FanoutSocketOwner& self = *this;
            sockets_.push_back(std::make_unique<FanoutSocket>(loop, self, numbers_, wire, mood));
            waiting_.push_back(sockets_.size() - 1);
        }
    };
    const Wire wire = options.deflate ? Wire::websocket_deflate : Wire::websocket;
    add(options.readers, wire, Mood::reading);
    add(options.streams, Wire::sse, Mood::reading);
    add(options.stalled, wire, Mood::stalled);
    add(options.storm, wire, Mood::reading);
    for (std::size_t number = 0; number < counted(); ++number) {
        sockets_[number]->seat.board = number % options.boards;
        ledger.add_reader(number % options.boards);
    }
}

Route Crowd::route(std::size_t number) const {
    Route route{.server = server_};
    route.source.sin_family = AF_INET;
    route.source.sin_addr.s_addr = htonl(0x7F000001U + static_cast<std::uint32_t>(number % options_.sources));
    const bool is_stream = number >= options_.readers && number < counted();
    std::string path = is_stream ? options_.stream_path : is_storm(number) ? options_.quiet_path : options_.path;
    if (const auto at = path.find("{i}"); at != std::string::npos) {
        path.replace(at, 3, std::to_string(number % options_.boards));
    }
    route.request =
        "GET " + path + " HTTP/1.1\r\nHost: " + options_.server + "\r\nAuthorization: Bearer " + options_.token;
    if (is_stream) {
        route.request += "\r\nAccept: text/event-stream\r\n\r\n";
        return route;
    }
    route.request +=
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
        "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    route.request += options_.deflate ? "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n" : "\r\n\r\n";
    return route;
}

void Crowd::open_some() {
    while (!waiting_.empty() && opening_ < options_.opening) {
        const std::size_t number = waiting_.front();
        waiting_.pop_front();
        ++opening_;
        sockets_[number]->open(route(number));
    }
}

void Crowd::cut_storm() {
    stormed_ = true;
    for (std::size_t number = counted() + options_.stalled; number < sockets_.size(); ++number) {
        sockets_[number]->cut();
        waiting_.push_back(number);
    }
}

void Crowd::resume_stalled() {
    for (std::size_t number = counted(); number < counted() + options_.stalled; ++number) {
        sockets_[number]->resume();
    }
}

std::size_t Crowd::stalled_closed(std::uint16_t code) const {
    return static_cast<std::size_t>(std::ranges::count(stalled_codes_, code));
}

std::uint64_t Crowd::missing() const {
    std::uint64_t missing = ledger_.skipped();
    for (std::size_t number = 0; number < counted(); ++number) {
        missing += ledger_.missing(sockets_[number]->seat);
    }
    return missing;
}

void Crowd::on_open(FanoutSocket&) {
    --opening_;
}

void Crowd::on_event(FanoutSocket& socket, std::uint64_t number, std::size_t bytes, Instant now) {
    if (socket.mood() == Mood::reading) {
        owner_.on_event(socket, number, bytes, now);
    }
}

void Crowd::on_refused(FanoutSocket&, std::string_view text) {
    owner_.on_refused(text);
}

void Crowd::on_ended(FanoutSocket& socket, std::uint16_t code, const std::string& why) {
    // Rare enough to search for it.
    const auto found = std::ranges::find_if(sockets_, [&](const auto& one) { return one.get() == &socket; });
    const auto number = static_cast<std::size_t>(found - sockets_.begin());
    const bool was_opening = !socket.was_open();
    opening_ -= was_opening ? 1 : 0;
    const bool is_stalled = number >= counted() && !is_storm(number);
    if (is_stalled && !was_opening) {
        stalled_codes_.push_back(code);
    } else if (is_storm(number) && stormed_ && was_opening && ++storm_failures_ < kStormFailuresMax) {
        waiting_.push_back(number);
    } else {
        owner_.on_trouble("socket " + std::to_string(number) + ": " + why + ", code " + std::to_string(code));
    }
}

}  // namespace boardbus::bench
