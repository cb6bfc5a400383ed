// bench_fanout_load: thousands of readers of one server on this machine, what they get, and how late.
//
// One process, one loop, one clock. The first reader of each board is its publisher. With a rate it is an open loop: event n is due at
// n / rate, whatever became of the others. Without one, a window of events is kept on their way to all readers (saturation). Speaks to
// boardbus and to the floor program alike.
//
// Prints one line of JSON when all sockets are open and one at the end. With --controlled it waits for a line `go` on standard input in
// between, so that the one who started it can look at the server's memory; `resume` makes the stalled sockets read.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/pacer.h"
#include "base/result.h"
#include "bench/event_log.h"
#include "bench/fanout_crowd.h"
#include "bench/fanout_ledger.h"
#include "bench/server_process.h"
#include "cli/process.h"

namespace boardbus::bench {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Options {
    CrowdOptions crowd;
    double rate = 0;
    std::size_t window = 16;
    double seconds = 5;
    double warmup = 1;
    double drain = 10;
    std::size_t payload_bytes = 160;
    std::vector<pid_t> server_pids;
    bool connect_only = false;
    bool controlled = false;
};

constexpr std::chrono::seconds kOpenTimeout{120};
constexpr std::chrono::seconds kGoTimeout{600};

double seconds_between(Instant begin, Instant end) {
    return duration<double>(end - begin).count();
}

Instant after(Instant start, double seconds) {
    return start + duration_cast<std::chrono::nanoseconds>(duration<double>(seconds));
}

/// Lines on standard input.
class Commands final : private Watcher {
  public:
    explicit Commands(Loop& loop) : loop_(loop) { loop_.add(STDIN_FILENO, EPOLLIN, *this); }
    Commands(const Commands&) = delete;
    Commands& operator=(const Commands&) = delete;
    ~Commands() { loop_.remove(STDIN_FILENO, *this); }

    /// True once for each time that the line has come. At the end of the input every line has come: nobody is left to write it.
    bool take(std::string_view line) {
        const auto at = text_.find(line);
        if (at == std::string::npos) {
            return ended_;
        }
        text_.erase(at, line.size());
        return true;
    }

  private:
    void on_ready(std::uint32_t) override {
        std::array<char, 64> bytes{};
        const auto got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
        if (got <= 0) {
            ended_ = true;
            loop_.remove(STDIN_FILENO, *this);
            return;
        }
        text_.append(bytes.data(), static_cast<std::size_t>(got));
    }

    Loop& loop_;
    std::string text_;  // Bound: what our own parent writes.
    bool ended_ = false;
};

class FanoutLoad final : private CrowdOwner, private TurnEnd {
  public:
    explicit FanoutLoad(const Options& options)
        : options_(options),
          ledger_(options.crowd.boards),
          message_(R"({"action":"bench","user":"bench","payload":)" + numbered_words(options.payload_bytes) + "}") {}
    FanoutLoad(const FanoutLoad&) = delete;
    FanoutLoad& operator=(const FanoutLoad&) = delete;
    ~FanoutLoad() { loop_.remove_turn_end(*this); }

    /// Errors: invalid, timeout, closed.
    Result<void> run();

  private:
    Result<void> open_all();
    Result<void> publish_all();
    void publish(Instant due);
    void fill_window();
    void watch_storm(Instant now);
    void watch_stalled(Instant now);
    void open_window(Instant now);
    void close_window(Instant now);
    std::string report() const;

    void on_event(FanoutSocket& socket, std::uint64_t number, std::size_t bytes, Instant now) override {
        ledger_.arrive(socket.seat, number, bytes, now);
    }
    void on_refused(std::string_view text) override { failure_ = "refused: " + std::string(text.substr(0, 300)); }
    void on_trouble(const std::string& why) override { failure_ = why; }
    void on_turn_end() override;

    // Constant after construction.
    const Options options_;

    // Loop only.
    Loop loop_;
    FanoutLedger ledger_;
    std::unique_ptr<Crowd> crowd_;
    std::unique_ptr<Commands> commands_;
    std::string message_;
    std::string failure_;
    Span span_{};
    bool publishing_ = false;
    std::vector<FanoutSocket*> spoke_;  // Publishers of this turn.

    std::optional<Instant> opened_at_;  // The window of measurement.
    double measured_s_ = 0;
    double server_cpu_s_ = 0;
    double own_cpu_s_ = 0;
    std::optional<Instant> cut_at_;
    std::optional<double> storm_back_s_;
    std::optional<Instant> resume_at_;
    bool resumed_ = false;
};

Result<void> FanoutLoad::run() {
    auto crowd = Crowd::make(loop_, *this, ledger_, options_.crowd);
    if (!crowd) {
        return std::unexpected(crowd.error());
    }
    crowd_ = std::move(*crowd);
    loop_.add_turn_end(*this);
    if (options_.controlled) {
        commands_ = std::make_unique<Commands>(loop_);
    }
    if (auto opened = open_all(); !opened || options_.connect_only) {
        return opened;
    }
    if (auto published = publish_all(); !published) {
        return published;
    }
    std::puts(report().c_str());
    return {};
}

Result<void> FanoutLoad::open_all() {
    const double cpu_before = cpu_seconds(options_.server_pids);
    const Instant begin = steady_clock::now();
    crowd_->open_some();
    while (!crowd_->all_open()) {
        loop_.turn(milliseconds(10));
        if (!failure_.empty()) {
            return fail(Errc::closed, failure_);
        }
        if (steady_clock::now() - begin > kOpenTimeout) {
            return fail(Errc::timeout, "not all sockets are open after 120 s");
        }
    }
    const double seconds = seconds_between(begin, steady_clock::now());
    const auto sockets = static_cast<double>(crowd_->size());
    std::printf(R"({"sockets":%zu,"open_s":%.4f,"opened_per_s":%.1f,"cpu_us_per_open":%.2f})"
                "\n",
                crowd_->size(), seconds, sockets / seconds,
                (cpu_seconds(options_.server_pids) - cpu_before) / sockets * 1e6);
    std::fflush(stdout);
    const Instant go_by = steady_clock::now() + kGoTimeout;
    while (commands_ && !commands_->take("go\n")) {
        loop_.turn(milliseconds(10));
        if (!failure_.empty() || steady_clock::now() > go_by) {
            return fail(Errc::timeout, failure_.empty() ? "nobody said go" : failure_);
        }
    }
    return {};
}

Result<void> FanoutLoad::publish_all() {
    const Instant begin = steady_clock::now() + milliseconds(20);
    const Instant measured = after(begin, options_.warmup);
    span_ = {begin, measured, after(measured, options_.seconds)};
    publishing_ = true;
    std::unique_ptr<Pacer> pacer;
    if (options_.rate > 0) {
        pacer = std::make_unique<Pacer>(loop_, span_.begin, span_.end, options_.rate,
                                        [this](Instant due) { publish(due); });
    }
    const Instant drained_by = after(span_.end, options_.drain);
    for (Instant now = begin; failure_.empty(); now = steady_clock::now()) {
        if (now >= span_.end) {
            close_window(now);
        }
        const bool storm_over = !cut_at_ || storm_back_s_;
        if (now >= drained_by || (now >= span_.end && ledger_.outstanding() == 0 && storm_over)) {
            break;
        }
        loop_.turn(milliseconds(10));
    }
    if (!failure_.empty()) {
        return fail(Errc::closed, failure_);
    }
    // Nothing more is due; what still comes is a duplicate, and the close frames of the stalled.
    const Instant linger_until = after(steady_clock::now(), options_.crowd.stalled > 0 ? 1.0 : 0.05);
    while (steady_clock::now() < linger_until) {
        loop_.turn(milliseconds(10));
    }
    return {};
}

void FanoutLoad::publish(Instant due) {
    if (ledger_.full()) {
        failure_ = "more events than can be kept track of";
        return;
    }
    const std::size_t board = ledger_.published() % options_.crowd.boards;
    set_number(message_, ledger_.publish(board, due));
    FanoutSocket& publisher = crowd_->socket(board);
    publisher.send_text(message_);
    spoke_.push_back(&publisher);
}

void FanoutLoad::fill_window() {
    // An event on its way to the last of its readers leaves room for a part of the next one.
    const std::size_t readers = crowd_->counted();
    const std::size_t room = options_.window * readers;
    const Instant now = steady_clock::now();
    while (now < span_.end && failure_.empty() && ledger_.outstanding() + readers / options_.crowd.boards <= room) {
        publish(now);
    }
}

void FanoutLoad::open_window(Instant now) {
    opened_at_ = now;
    server_cpu_s_ = cpu_seconds(options_.server_pids);
    own_cpu_s_ = own_cpu_seconds();
    ledger_.open_window();
}

void FanoutLoad::close_window(Instant now) {
    if (!opened_at_ || measured_s_ > 0) {
        return;
    }
    measured_s_ = seconds_between(*opened_at_, now);
    server_cpu_s_ = cpu_seconds(options_.server_pids) - server_cpu_s_;
    own_cpu_s_ = own_cpu_seconds() - own_cpu_s_;
    ledger_.close_window();
}

void FanoutLoad::watch_storm(Instant now) {
    if (!cut_at_ && now >= after(span_.measured, options_.seconds / 4) && now < span_.end) {
        cut_at_ = now;
        ledger_.begin_storm();
        crowd_->cut_storm();
    } else if (cut_at_ && !storm_back_s_ && crowd_->all_open()) {
        storm_back_s_ = seconds_between(*cut_at_, now);
        ledger_.end_storm();
    }
}

void FanoutLoad::watch_stalled(Instant now) {
    if (commands_ && !resume_at_ && commands_->take("resume\n")) {
        // Reading what they have not read will keep this process busy: nothing is measured any more, and what has been
        // measured gets time to arrive.
        close_window(now);
        resume_at_ = now + milliseconds(500);
    } else if (resume_at_ && !resumed_ && now >= *resume_at_) {
        resumed_ = true;
        crowd_->resume_stalled();
    }
}

void FanoutLoad::on_turn_end() {
    if (publishing_) {
        const Instant now = steady_clock::now();
        if (!opened_at_ && now >= span_.measured) {
            open_window(now);
        }
        if (options_.crowd.storm > 0) {
            watch_storm(now);
        }
        if (options_.rate <= 0) {
            fill_window();
        }
        if (options_.crowd.stalled > 0) {
            watch_stalled(now);
        }
        for (FanoutSocket* publisher : spoke_) {
            publisher->flush();
        }
        spoke_.clear();
    }
    crowd_->open_some();
}

std::string FanoutLoad::report() const {
    const Measured& measured = ledger_.measured();
    const auto deliveries = static_cast<double>(std::max<std::uint64_t>(measured.deliveries, 1));
    const double seconds = std::max(measured_s_, 1e-9);
    std::array<char, 1024> text{};
    std::snprintf(text.data(), text.size(),
                  R"({"seconds":%.3f,"published":%llu,"deliveries":%llu,"deliveries_per_s":%.1f,"event_bytes":%.0f,)"
                  R"("server_cpu_s":%.2f,"cpu_us_per_delivery":%.4f,"server_cpu_share":%.3f,"own_cpu_share":%.3f,)"
                  R"("missing":%llu,"repeated":%llu,"foreign":%llu,"stalled":%zu,"stalled_closed_1013":%zu,)"
                  R"("storm_back_s":%.3f,"storm_failures":%llu,)",
                  measured_s_, 0ULL + measured.published, 0ULL + measured.deliveries, deliveries / seconds,
                  static_cast<double>(measured.event_bytes) / deliveries, server_cpu_s_,
                  server_cpu_s_ / deliveries * 1e6, server_cpu_s_ / seconds, own_cpu_s_ / seconds,
                  0ULL + crowd_->missing(), 0ULL + ledger_.repeated(), 0ULL + ledger_.foreign(), options_.crowd.stalled,
                  crowd_->stalled_closed(web::close_code::kTryAgainLater), storm_back_s_.value_or(-1),
                  0ULL + crowd_->storm_failures());
    return text.data() + (R"("latency_us":)" + quantiles_json(measured.latency)) + R"(,"last_reader_us":)" +
           quantiles_json(measured.last_reader) + R"(,"storm_us":)" + quantiles_json(ledger_.storm()) + "}";
}

void add_options(CLI::App& app, Options& options) {
    CrowdOptions& crowd = options.crowd;
    app.add_option("--server", crowd.server, "Loopback address and port");
    app.add_option("--path", crowd.path, "Target of a WebSocket; {i} becomes its board's number");
    app.add_option("--quiet-path", crowd.quiet_path, "Target of the sockets of the storm");
    app.add_option("--stream-path", crowd.stream_path, "Target of an SSE stream");
    app.add_option("--token", crowd.token, "Bearer token");
    app.add_option("--boards", crowd.boards, "Boards; each has a publisher, its first reader")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--readers", crowd.readers, "WebSockets, spread over the boards")->check(CLI::Range(1, 100'000));
    app.add_option("--streams", crowd.streams, "SSE streams")->check(CLI::Range(0, 100'000));
    app.add_option("--stalled", crowd.stalled, "WebSockets that never read")->check(CLI::Range(0, 100'000));
    app.add_option("--storm", crowd.storm, "WebSockets that are cut and come back after a quarter of the time")
        ->check(CLI::Range(0, 100'000));
    app.add_flag("--deflate", crowd.deflate, "Offer permessage-deflate");
    app.add_option("--opening", crowd.opening, "Handshakes at a time")->check(CLI::Range(1, 10'000));
    app.add_option("--sources", crowd.sources, "Source addresses, from 127.0.0.1 on")->check(CLI::Range(1, 250));
    app.add_option("--rate", options.rate, "Events per second, all boards together; 0: as --window lets through")
        ->check(CLI::Range(0.0, 1e6));
    app.add_option("--window", options.window, "Events on their way per publisher, when --rate is 0")
        ->check(CLI::Range(1, 64));
    app.add_option("--seconds", options.seconds, "Measured time")->check(CLI::Range(0.1, 3600.0));
    app.add_option("--warmup", options.warmup, "Time before it")->check(CLI::Range(0.0, 600.0));
    app.add_option("--drain", options.drain, "Longest wait for what is missing at the end")
        ->check(CLI::Range(0.0, 600.0));
    app.add_option("--payload-bytes", options.payload_bytes, "Size of an event's payload, a JSON object")
        ->check(CLI::Range(27, 60'000));
    app.add_option("--server-pid", options.server_pids, "Whose processor time is told")->check(CLI::Range(1, 1 << 22));
    app.add_flag("--connect-only", options.connect_only, "Open all sockets, publish nothing");
    app.add_flag("--controlled", options.controlled, "Wait for `go` on standard input when all sockets are open");
}

}  // namespace
}  // namespace boardbus::bench

int main(int argc, char** argv) {
    boardbus::bench::Options options;
    CLI::App app("Loads a server on this machine and prints JSON, one line when its sockets are open, one at the end.",
                 "bench_fanout_load");
    app.option_defaults()->always_capture_default();
    boardbus::bench::add_options(app, options);
    CLI11_PARSE(app, argc, argv);
    if (options.crowd.readers < options.crowd.boards || (options.crowd.streams > 0 && options.crowd.boards > 1)) {
        std::fputs("bench_fanout_load: every board needs a reader, and streams only one board\n", stderr);
        return 2;
    }
    boardbus::cli::raise_file_limit();
    const auto done = boardbus::bench::FanoutLoad(options).run();
    if (!done) {
        std::fprintf(stderr, "bench_fanout_load: %s\n", done.error().detail.c_str());
        return 1;
    }
    return 0;
}
