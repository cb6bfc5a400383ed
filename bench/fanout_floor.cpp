// bench_fanout_floor: the least that a server can do for many WebSockets on boards, and nothing else.
//
// Accept, the shortest RFC 6455 handshake, read frames, collect the frames of one epoll turn in one run per board, one non-blocking send of
// that run per reader. No token, no HTTP beyond one header, no JSON, no queue, no dedupe, no history, no limits, no pings, no metrics: what
// boardbus needs beyond this is boardbus' own cost. Board = request target. A text comes back as it came, with spaces behind it up to
// --event-bytes, so that both servers send events of one size.
//
// --deflate-each compresses every event anew for every reader: what a server with context takeover, or without a shared frame, has to do.
// One thread; plain epoll, because base/loop.h belongs to what is measured.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "cli/process.h"
#include "web/ws_codec.h"
#include "web/ws_deflate.h"

namespace boardbus::bench {
namespace {

struct Options {
    std::uint16_t port = 8104;
    std::size_t event_bytes = 0;
    bool deflate_each = false;
};

// As in boardbus: a run is written before the turn's end when it has grown to this.
constexpr std::size_t kRunFrames = 64;
constexpr std::size_t kRunBytes = 64 * 1024;
// A reader that is further behind is dropped.
constexpr std::size_t kUnsentMax = 64 << 20;
// A frame of a client, header included, must fit.
constexpr std::size_t kReceiveBytes = 256 * 1024;
constexpr int kBacklog = 4096;

struct Connection;

struct Member {
    int fd;
    bool slow;
    Connection* connection;
};

struct Board {
    std::vector<Member> members;
    std::string run;
    std::vector<std::string> texts;  // With deflate_each: the events themselves. Bound: kRunFrames.
    std::size_t frames = 0;
    bool dirty = false;
};

struct Connection {
    UniqueFd fd;
    Board* board = nullptr;  // Null before the handshake.
    std::size_t index = 0;   // In the board's members.
    std::string received;    // The rest of an incomplete frame or request.
    std::string unsent;      // Bound: kUnsentMax.
};

class Floor {
  public:
    explicit Floor(const Options& options) : options_(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

    /// False, and errno, when the port cannot be had.
    bool listen();
    [[noreturn]] void run();

  private:
    void watch(int operation, Connection& connection, std::uint32_t events);
    void accept_all();
    void on_ready(Connection& connection, std::uint32_t events);
    bool receive(Connection& connection);
    /// Bytes used, or -1 when the client does not speak as it should.
    ssize_t take(Connection& connection, std::string_view bytes);
    ssize_t take_request(Connection& connection, std::string_view bytes);
    ssize_t take_frame(Connection& connection, char* bytes, std::size_t size);
    void append_event(Board& board, std::string_view text);
    void write_run(Board& board);
    void write_to(Member& member, std::string_view bytes);
    void drop(Connection& connection);

    const Options options_;
    UniqueFd epoll_;
    UniqueFd listener_;
    std::unordered_map<std::string, std::unique_ptr<Board>> boards_;  // Bound: request targets of the load generator.
    std::vector<Board*> dirty_;
    std::vector<Connection*> gone_;  // Of this turn: an event that epoll has reported may still name them.
    web::Deflater deflater_;
    std::array<char, kReceiveBytes> buffer_{};
};

bool Floor::listen() {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int yes = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    // Accepted sockets inherit it.
    ::setsockopt(listener_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    return ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
           ::listen(listener_.get(), kBacklog) == 0 &&
           ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) == 0;
}

void Floor::run() {
    std::vector<epoll_event> ready(1024);
    for (;;) {
        const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), -1);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = ready[static_cast<std::size_t>(i)];
            if (event.data.ptr == nullptr) {
                accept_all();
            } else {
                on_ready(*static_cast<Connection*>(event.data.ptr), event.events);
            }
        }
        for (Board* board : dirty_) {
            board->dirty = false;
            write_run(*board);
        }
        dirty_.clear();
        for (Connection* connection : gone_) {
            delete connection;
        }
        gone_.clear();
    }
}

void Floor::watch(int operation, Connection& connection, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.ptr = &connection}};
    ::epoll_ctl(epoll_.get(), operation, connection.fd.get(), &event);
}

void Floor::accept_all() {
    for (;;) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) {
            return;
        }
        auto* connection = new Connection;
        connection->fd = std::move(fd);
        watch(EPOLL_CTL_ADD, *connection, EPOLLIN);
    }
}

void Floor::on_ready(Connection& connection, std::uint32_t events) {
    if (!connection.fd) {
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        const auto sent = ::send(connection.fd.get(), connection.unsent.data(), connection.unsent.size(),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
        connection.unsent.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
        if (connection.unsent.empty()) {
            connection.board->members[connection.index].slow = false;
            watch(EPOLL_CTL_MOD, connection, EPOLLIN);
        }
    }
    if ((events & ~EPOLLOUT) != 0 && !receive(connection)) {
        drop(connection);
    }
}

bool Floor::receive(Connection& connection) {
    const std::size_t kept = connection.received.size();
    std::memcpy(buffer_.data(), connection.received.data(), kept);
    const auto got = ::recv(connection.fd.get(), buffer_.data() + kept, buffer_.size() - kept, MSG_DONTWAIT);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    const std::string_view bytes(buffer_.data(), kept + static_cast<std::size_t>(got));
    const auto used = take(connection, bytes);
    if (used < 0) {
        return false;
    }
    connection.received.assign(bytes.substr(static_cast<std::size_t>(used)));
    return connection.received.size() < buffer_.size();
}

ssize_t Floor::take(Connection& connection, std::string_view bytes) {
    ssize_t used = 0;
    if (connection.board == nullptr) {
        used = take_request(connection, bytes);
        if (used <= 0) {
            return used;
        }
    }
    for (;;) {
        char* const frame = buffer_.data() + used;
        const ssize_t more = take_frame(connection, frame, bytes.size() - static_cast<std::size_t>(used));
        if (more <= 0) {
            return more < 0 ? more : used;
        }
        used += more;
    }
}

std::string accept_value(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> hash{};
    ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
    std::array<unsigned char, 32> encoded{};
    const int size = ::EVP_EncodeBlock(encoded.data(), hash.data(), hash.size());
    return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(size)};
}

ssize_t Floor::take_request(Connection& connection, std::string_view bytes) {
    constexpr std::string_view kKey = "\r\nSec-WebSocket-Key: ";
    const auto end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos) {
        return 0;
    }
    const std::string_view head = bytes.substr(0, end + 2);
    const auto key = head.find(kKey);
    const auto target_end = head.find(' ', 4);
    if (!head.starts_with("GET ") || key == std::string_view::npos || target_end == std::string_view::npos) {
        return -1;
    }
    const std::string_view from_key = head.substr(key + kKey.size());
    std::string answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    if (options_.deflate_each) {
        answer +=
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    }
    answer += "Sec-WebSocket-Accept: " + accept_value(from_key.substr(0, from_key.find('\r'))) + "\r\n\r\n";
    std::unique_ptr<Board>& board = boards_[std::string(head.substr(4, target_end - 4))];
    if (!board) {
        board = std::make_unique<Board>();
    }
    connection.board = board.get();
    connection.index = board->members.size();
    board->members.push_back({.fd = connection.fd.get(), .slow = false, .connection = &connection});
    const auto sent = ::send(connection.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == static_cast<ssize_t>(answer.size()) ? static_cast<ssize_t>(end + 4) : -1;
}

ssize_t Floor::take_frame(Connection& connection, char* bytes, std::size_t size) {
    const auto byte = [bytes](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    if (size < 6) {
        return 0;
    }
    std::size_t payload_bytes = byte(1) & 0x7FU;
    std::size_t head_bytes = 6;
    if (payload_bytes == 126) {
        payload_bytes = std::size_t{byte(2)} << 8 | byte(3);
        head_bytes = 8;
    } else if (payload_bytes == 127) {
        return -1;
    }
    if (size < head_bytes + payload_bytes) {
        return 0;
    }
    const char* const key = bytes + head_bytes - 4;
    char* const payload = bytes + head_bytes;
    for (std::size_t i = 0; i < payload_bytes; ++i) {
        payload[i] = static_cast<char>(payload[i] ^ key[i & 3]);
    }
    switch (static_cast<web::Opcode>(byte(0) & 0x0FU)) {
        case web::Opcode::text:
            append_event(*connection.board, {payload, payload_bytes});
            break;
        case web::Opcode::close:
            return -1;
        default:
            break;
    }
    return static_cast<ssize_t>(head_bytes + payload_bytes);
}

void Floor::append_event(Board& board, std::string_view text) {
    if (!board.dirty) {
        board.dirty = true;
        dirty_.push_back(&board);
    }
    const std::size_t padding = options_.event_bytes > text.size() ? options_.event_bytes - text.size() : 0;
    if (options_.deflate_each) {
        board.texts.emplace_back(text).append(padding, ' ');
    } else {
        board.run += web::frame_header(web::Opcode::text, text.size() + padding).view();
        board.run += text;
        board.run.append(padding, ' ');
    }
    if (++board.frames >= kRunFrames || board.run.size() >= kRunBytes) {
        write_run(board);
    }
}

void Floor::write_run(Board& board) {
    for (Member& member : board.members) {
        if (options_.deflate_each) {
            board.run.clear();
            for (const std::string& text : board.texts) {
                web::append_frame(board.run, web::Opcode::text, deflater_.deflate(text), web::Compressed::yes);
            }
        }
        write_to(member, board.run);
    }
    board.run.clear();
    board.texts.clear();
    board.frames = 0;
}

void Floor::write_to(Member& member, std::string_view bytes) {
    std::size_t written = 0;
    if (!member.slow) [[likely]] {
        const auto sent = ::send(member.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == static_cast<ssize_t>(bytes.size())) [[likely]] {
            return;
        }
        written = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
        member.slow = true;
        watch(EPOLL_CTL_MOD, *member.connection, EPOLLIN | EPOLLOUT);
    }
    std::string& unsent = member.connection->unsent;
    if (unsent.size() > kUnsentMax) {
        ::shutdown(member.fd, SHUT_RDWR);  // The next turn reads its end.
        return;
    }
    unsent += bytes.substr(written);
}

void Floor::drop(Connection& connection) {
    if (connection.board != nullptr) {
        std::vector<Member>& members = connection.board->members;
        members[connection.index] = members.back();
        members[connection.index].connection->index = connection.index;
        members.pop_back();
    }
    connection.fd.reset();
    gone_.push_back(&connection);
}

}  // namespace
}  // namespace boardbus::bench

int main(int argc, char** argv) {
    boardbus::bench::Options options;
    CLI::App app("Echoes every text to all WebSockets with the same path, at the least cost. Ends on SIGTERM.",
                 "bench_fanout_floor");
    app.option_defaults()->always_capture_default();
    app.add_option("--port", options.port, "Port on 127.0.0.1")->check(CLI::Range(1, 65535));
    app.add_option("--event-bytes", options.event_bytes, "Texts are filled up to this with spaces")
        ->check(CLI::Range(0, 65'000));
    app.add_flag("--deflate-each", options.deflate_each, "Compress each event again for each reader");
    CLI11_PARSE(app, argc, argv);
    boardbus::cli::raise_file_limit();
    const auto floor = std::make_unique<boardbus::bench::Floor>(options);
    if (!floor->listen()) {
        std::fprintf(stderr, "bench_fanout_floor: port %d: %s\n", options.port, std::strerror(errno));
        return 1;
    }
    floor->run();
}
