// bench_load: readers and writers of a running boardbus, and how late each event reaches each reader.
//
// One process, one loop: the clock that stamps an event is the one that takes its arrival. With a rate it is an open loop; without one
// a window of events is kept on their way, and a new one leaves when an old one has arrived at its board's first reader (saturation).
// Only loopback targets: it is a measuring instrument, not a weapon. Prints one line of JSON.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/pacer.h"
#include "base/result.h"
#include "bench/board_socket.h"
#include "bench/event_log.h"
#include "cli/plain_socket.h"
#include "cli/process.h"

namespace boardbus::bench {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Options {
    std::string url = "http://127.0.0.1:8004";
    std::string token = "change-me-realtime";
    std::string board = "bench";
    std::size_t boards = 1;
    std::size_t writers = 1;
    std::size_t readers = 1;
    double rate = 0;
    std::size_t window = 256;
    double seconds = 10;
    double warmup = 2;
    double drain = 10;
    std::size_t payload_bytes = 100;
};

Span span_of(const Options& options) {
    const auto after = [](Instant start, double seconds) {
        return start + duration_cast<std::chrono::nanoseconds>(duration<double>(seconds));
    };
    const Instant begin = steady_clock::now() + milliseconds(20);
    const Instant measured = after(begin, options.warmup);
    return {begin, measured, after(measured, options.seconds)};
}

struct Sockets {
    std::vector<OpenedSocket> readers;
    std::vector<OpenedSocket> writers;
};

/// Socket i of either kind is on board i mod boards.
Result<Sockets> open_sockets(const Options& options, const cli::HttpUrl& url) {
    Sockets sockets;
    const auto open = [&](std::vector<OpenedSocket>& kind, std::size_t count) -> Result<void> {
        for (std::size_t i = 0; i < count; ++i) {
            const std::string path = "/ws/boards/" + options.board + "-" + std::to_string(i % options.boards);
            auto socket = open_websocket(url, path, options.token);
            if (!socket) {
                return std::unexpected(socket.error());
            }
            kind.push_back(std::move(*socket));
        }
        return {};
    };
    if (auto opened = open(sockets.readers, options.readers); !opened) {
        return std::unexpected(opened.error());
    }
    if (auto opened = open(sockets.writers, options.writers); !opened) {
        return std::unexpected(opened.error());
    }
    return sockets;
}

class Load final : private BoardSocketOwner, private TurnEnd {
  public:
    Load(Loop& loop, const Options& options, Sockets opened)
        : loop_(loop),
          options_(options),
          span_(span_of(options)),
          log_(options.readers, options.boards, span_),
          message_(R"({"action":"bench","user":"bench","payload":)" + numbered_object(options.payload_bytes) + "}") {
        BoardSocketOwner& owner = *this;
        for (OpenedSocket& socket : opened.readers) {
            readers_.push_back(std::make_unique<BoardSocket>(loop, owner, std::move(socket), readers_.size()));
        }
        for (OpenedSocket& socket : opened.writers) {
            // A writer's number is no reader's.
            const std::size_t number = options.readers + writers_.size();
            writers_.push_back(std::make_unique<BoardSocket>(loop, owner, std::move(socket), number));
        }
        loop_.add_turn_end(*this);
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load() { loop_.remove_turn_end(*this); }

    /// Errors: closed (a connection ended), overloaded (the log is full).
    Result<void> run() {
        std::unique_ptr<Pacer> pacer;
        if (options_.rate > 0) {
            pacer = std::make_unique<Pacer>(loop_, span_.begin, span_.end, options_.rate,
                                            [this](Instant due) { publish(due); });
        } else {
            fill_window();
        }
        const auto drained_by = span_.end + duration_cast<milliseconds>(duration<double>(options_.drain));
        while (failure_.empty()) {
            const Instant now = steady_clock::now();
            if (now >= drained_by || (now >= span_.end && log_.missing() == 0)) {
                return {};
            }
            loop_.turn(milliseconds(10));
        }
        return fail(Errc::closed, failure_);
    }

    std::string report() const { return log_.json(refused_); }

  private:
    void publish(Instant due) {
        if (log_.full()) {
            failure_ = "more events than can be kept track of; ask for fewer, or for fewer readers";
            return;
        }
        const std::uint64_t number = log_.publish(due);
        set_number(message_, number);
        writers_[number % writers_.size()]->send_text(message_);
    }

    void fill_window() {
        const Instant now = steady_clock::now();
        while (now < span_.end && failure_.empty() && log_.published() < done_ + options_.window) {
            publish(now);
        }
    }

    void on_text(BoardSocket& socket, std::string_view text, Instant now) override {
        const bool is_reader = socket.number() < options_.readers;
        if (is_reader) {
            if (const auto number = number_in(text)) {
                const bool fresh = log_.arrive(socket.number(), *number, now);
                done_ += fresh && socket.number() < options_.boards ? 1 : 0;
            }
        } else if (text.starts_with(R"({"kind":"error")")) {
            // An error answers a writer, who also hears his board; the event that it is about will not arrive.
            ++refused_;
            ++done_;
        }
    }

    void on_lost(const std::string& why) override { failure_ = why; }

    void on_turn_end() override {
        if (options_.rate <= 0 && !writers_.empty()) {
            fill_window();
        }
        for (const auto& writer : writers_) {
            writer->flush();
        }
    }

    // Constant after construction.
    Loop& loop_;
    const Options options_;
    const Span span_;

    // Loop only.
    EventLog log_;
    std::string message_;
    std::vector<std::unique_ptr<BoardSocket>> readers_;
    std::vector<std::unique_ptr<BoardSocket>> writers_;
    std::uint64_t done_ = 0;  // Events that have left the window.
    std::uint64_t refused_ = 0;
    std::string failure_;
};

bool is_loopback(const std::string& host) {
    in_addr address{};
    // A name that only begins with 127. may be anybody's.
    const bool is_number = ::inet_pton(AF_INET, host.c_str(), &address) == 1;
    return host == "localhost" || host == "::1" || (is_number && (ntohl(address.s_addr) >> 24) == 127);
}

Result<void> check(const Options& options, const cli::HttpUrl& url) {
    if (!is_loopback(url.host)) {
        return fail(Errc::invalid, "only a server on this machine may be loaded: 127.0.0.1, ::1 or localhost");
    }
    if (options.readers % options.boards != 0 || options.writers % options.boards != 0) {
        return fail(Errc::invalid, "--readers and --writers must be multiples of --boards");
    }
    return {};
}

Result<std::string> run(const Options& options) {
    const auto url = cli::parse_http_url(options.url);
    if (!url) {
        return std::unexpected(url.error());
    }
    if (auto good = check(options, *url); !good) {
        return std::unexpected(good.error());
    }
    cli::raise_file_limit();
    auto sockets = open_sockets(options, *url);
    if (!sockets) {
        return std::unexpected(sockets.error());
    }
    Loop loop;
    Load load(loop, options, std::move(*sockets));
    if (auto ended = load.run(); !ended) {
        return std::unexpected(ended.error());
    }
    return load.report();
}

}  // namespace
}  // namespace boardbus::bench

int main(int argc, char** argv) {
    boardbus::bench::Options options;
    CLI::App app("Loads a boardbus on this machine and prints one line of JSON; latencies in microseconds.",
                 "bench_load");
    app.option_defaults()->always_capture_default();
    app.add_option("--url", options.url, "The app");
    app.add_option("--token", options.token, "Its token");
    app.add_option("--board", options.board, "Boards are called NAME-0, NAME-1 and so on");
    app.add_option("--boards", options.boards, "Boards")->check(CLI::Range(1, 100'000));
    app.add_option("--writers", options.writers, "WebSockets that publish, spread over the boards; they hear, too")
        ->check(CLI::Range(1, 1000));
    app.add_option("--readers", options.readers, "WebSockets that only read, spread over the boards")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--rate", options.rate,
                   "Events per second, all writers together; 0: as many as --window lets through")
        ->check(CLI::Range(0.0, 1e6));
    app.add_option("--window", options.window, "Events on their way at once, when --rate is 0")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--seconds", options.seconds, "Measured time")->check(CLI::Range(0.1, 3600.0));
    app.add_option("--warmup", options.warmup, "Time before it")->check(CLI::Range(0.0, 600.0));
    app.add_option("--drain", options.drain, "Longest wait for what is missing at the end")
        ->check(CLI::Range(0.0, 600.0));
    app.add_option("--payload-bytes", options.payload_bytes, "Size of an event's payload, a JSON object")
        ->check(CLI::Range(18, 65'000));
    CLI11_PARSE(app, argc, argv);
    const auto report = boardbus::bench::run(options);
    if (!report) {
        std::fprintf(stderr, "bench_load: %s\n", report.error().detail.c_str());
        return 1;
    }
    std::puts(report->c_str());
    return 0;
}
