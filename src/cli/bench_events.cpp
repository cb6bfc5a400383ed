// `boardbus bench fanout` and `pipeline`: publishers and subscribers of a running app.
//
// At a rate it is an open loop; without one each publisher keeps a window of events on their way, and a new one leaves when an old one has
// arrived (saturation). The run ends early when a connection ends, because what follows is no longer the load that was asked for.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <deque>
#include <memory>

#include "base/pacer.h"
#include "base/random.h"
#include "cli/bench_dialer.h"
#include "cli/bench_ledger.h"
#include "cli/bench_run.h"

namespace boardbus::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The first event waits until the last handshake has settled in all loops of the server.
constexpr milliseconds kSettle{100};
// After an early end nobody waits long for what is on its way.
constexpr std::chrono::seconds kShortDrain{1};
// The reason of an error frame: a word of the protocol, or it is not shown.
constexpr std::size_t kReasonMax = 32;

BenchSpan span_of(const BenchOptions& options) {
    const Instant begin = steady_clock::now() + kSettle;
    const Instant measured = begin + from_seconds(options.warmup);
    return {begin, measured, measured + from_seconds(options.duration)};
}

/// Servers differ in the space behind a colon.
bool is_error_frame(std::string_view text) {
    return text.starts_with(R"({"kind":"error")") || text.starts_with(R"({"kind": "error")");
}

std::string reason_of(std::string_view error_frame) {
    constexpr std::string_view kName = R"("reason":)";
    const auto name = error_frame.find(kName);
    if (name == std::string_view::npos) {
        return "unknown";
    }
    std::string_view value = error_frame.substr(name + kName.size());
    value.remove_prefix(std::min(value.find_first_not_of(" \""), value.size()));
    const std::string_view word = value.substr(0, value.find('"'));
    const bool plain = !word.empty() && word.size() <= kReasonMax &&
                       std::ranges::all_of(word, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    return plain ? std::string(word) : "unknown";
}

class Events final : private BenchSocketOwner, private TurnEnd {
  public:
    explicit Events(const BenchRun& run)
        : run_(run),
          options_(run.options),
          dialer_({.connections = options_.subscribers + options_.publishers,
                   .handshakes = options_.handshakes,
                   .timeout = std::chrono::duration_cast<milliseconds>(from_seconds(options_.timeout))},
                  steady_clock::now(),
                  [this](std::size_t number, Instant due) -> BenchSocket& { return dial(number, due); }),
          stamper_(static_cast<std::uint32_t>(random_u64())),
          message_(stamper_.message(options_.payload)),
          has_unsent_(options_.publishers),
          progress_(run.loop, options_.progress, [this] { return line(); }) {
        run_.loop.add_turn_end(*this);
    }
    Events(const Events&) = delete;
    Events& operator=(const Events&) = delete;
    ~Events() { run_.loop.remove_turn_end(*this); }

    BenchReport go() {
        open();
        if (good()) {
            load();
            drain();
        }
        return report();
    }

  private:
    bool good() const { return !run_.stopped && endings_.total() == 0; }

    void open() {
        while (!run_.stopped && !dialer_.done()) {
            dialer_.step(steady_clock::now());
            run_.loop.turn(dialer_.longest_turn());
            if (endings_.total() > 0) {
                dialer_.stop();
            }
        }
    }

    /// Subscribers first; member i of either kind is on board i mod boards.
    BenchSocket& dial(std::size_t number, Instant due) {
        const bool reads = number < options_.subscribers;
        const std::size_t member = reads ? number : number - options_.subscribers;
        BenchSocketOwner& owner = *this;
        BenchSocket& socket = sockets_.emplace_back(run_.loop, owner, number);
        socket.open(run_.target, reads && options_.sse ? BenchStream::sse : BenchStream::websocket,
                    options_.board + "-" + std::to_string(member % options_.boards), due);
        return socket;
    }

    void load() {
        span_ = span_of(options_);
        ledger_ = std::make_unique<BenchLedger>(BenchCrowd{options_.boards, options_.subscribers, options_.publishers},
                                                span_);
        std::unique_ptr<Pacer> pacer;
        if (options_.rate > 0) {
            pacer = std::make_unique<Pacer>(run_.loop, span_.begin, span_.end, options_.rate,
                                            [this](Instant due) { publish_next(due); });
        }
        while (good() && steady_clock::now() < span_.end) {
            run_.loop.turn(milliseconds(10));
        }
        // A pacer that is late catches up: all that was due before the end is published.
        if (good()) {
            run_.loop.turn(milliseconds(0));
        }
        ended_ = std::min(span_.end, steady_clock::now());
    }

    void drain() {
        publishing_over_ = true;
        const auto longest = from_seconds(options_.drain);
        const Instant begin = steady_clock::now();
        // Asked anew every turn: a connection may end meanwhile.
        while (!ledger_->settled() &&
               steady_clock::now() <
                   begin + (good() ? longest : std::min<std::chrono::nanoseconds>(longest, kShortDrain))) {
            run_.loop.turn(milliseconds(10));
        }
    }

    BenchSocket& publisher(std::size_t number) { return sockets_[options_.subscribers + number]; }

    void publish_next(Instant due) {
        publish(next_publisher_, due);
        next_publisher_ = (next_publisher_ + 1) % options_.publishers;
    }

    void publish(std::size_t number, Instant due) {
        BenchSocket& socket = publisher(number);
        if (socket.state() != BenchSocket::State::open) {
            return;
        }
        stamper_.put(message_, ledger_->publish(number, due));
        socket.send_text(message_);
        if (!has_unsent_[number]) {
            has_unsent_[number] = true;
            unsent_.push_back(number);
        }
    }

    void fill_windows() {
        const Instant now = steady_clock::now();
        if (now < span_.begin || now >= span_.end) {
            return;
        }
        for (std::size_t number = 0; number < options_.publishers && good(); ++number) {
            for (auto room = options_.window - std::min<std::uint64_t>(options_.window, ledger_->in_flight(number));
                 room > 0; --room) {
                publish(number, now);
            }
        }
    }

    void on_turn_end() override {
        if (ledger_ && options_.rate <= 0 && !publishing_over_) {
            fill_windows();
        }
        for (const std::size_t number : unsent_) {
            has_unsent_[number] = false;
            publisher(number).flush();
        }
        unsent_.clear();
    }

    void on_open(BenchSocket& /*socket*/, std::chrono::nanoseconds /*handshake*/) override { ++opened_; }

    void on_text(BenchSocket& socket, std::string_view text, Instant now) override {
        if (socket.number() >= options_.subscribers) {
            // A publisher hears his board, too; only what is meant for him alone counts.
            if (is_error_frame(text)) {
                errors_.add(reason_of(text));
                if (ledger_) {
                    ledger_->refuse(socket.number() - options_.subscribers);
                }
            }
        } else if (const auto stamp = stamper_.find(text); stamp && ledger_) {
            ledger_->arrive(socket.number(), *stamp, now);
        }
    }

    void on_end(BenchSocket& socket, const std::string& why) override {
        endings_.add(why);
        if (ledger_ && socket.number() < options_.subscribers) {
            ledger_->forget(socket.number());
        }
    }

    std::string line() {
        const auto number = [](std::uint64_t count) { return grouped(static_cast<double>(count), 0); };
        if (!ledger_) {
            return "opening: " + number(dialer_.begun()) + " of " + number(options_.subscribers + options_.publishers);
        }
        const std::uint64_t published = ledger_->published();
        const std::uint64_t delivered = ledger_->delivered();
        const std::string text = "published " + number(published) + " (" + number(published - shown_published_) +
                                 "/s), delivered " + number(delivered) + " (" + number(delivered - shown_delivered_) +
                                 "/s), refused " + number(ledger_->refused());
        shown_published_ = published;
        shown_delivered_ = delivered;
        return text;
    }

    std::vector<BenchFigure> setup() const {
        return {{"subscribers", static_cast<double>(options_.subscribers)},
                {"publishers", static_cast<double>(options_.publishers)},
                {"boards", static_cast<double>(options_.boards)},
                {"rate_per_s", options_.rate, 1},
                {"window", options_.rate > 0 ? 0 : static_cast<double>(options_.window)},
                {"payload_bytes", static_cast<double>(options_.payload)},
                {"warmup_seconds", options_.warmup, 1},
                {"duration_seconds", options_.duration, 1}};
    }

    /// Of the whole run, and per second of its measured part; zeroes when it has not begun.
    std::vector<BenchFigure> figures(const BenchLedger& ledger) const {
        const double seconds = std::chrono::duration<double>(ended_ - span_.measured).count();
        const auto per_second = [seconds](double count) { return seconds > 0 ? count / seconds : 0; };
        return {{"opened", static_cast<double>(opened_)},
                {"published", static_cast<double>(ledger.published())},
                {"delivered", static_cast<double>(ledger.delivered())},
                {"refused", static_cast<double>(ledger.refused())},
                {"lost", static_cast<double>(ledger.lost())},
                {"doubled", static_cast<double>(ledger.doubled())},
                {"out_of_order", static_cast<double>(ledger.late())},
                {"strange", static_cast<double>(ledger.strange())},
                {"connections_lost", static_cast<double>(endings_.total())},
                {"measured_seconds", std::max(0.0, seconds), 3},
                {"events_per_s", per_second(ledger.events_measured()), 1},
                {"deliveries_per_s", per_second(static_cast<double>(ledger.deliveries_measured())), 1}};
    }

    std::vector<std::string> problems() const {
        std::vector<std::string> problems;
        if (endings_.total() > 0) {
            problems.push_back(std::to_string(endings_.total()) + " of " + std::to_string(dialer_.begun()) +
                               (ledger_ ? " connections ended, and the run with them: " : " sockets were refused: ") +
                               endings_.text());
        }
        if (!ledger_) {
            return problems;
        }
        const auto complain = [&](std::uint64_t count, const std::string& what) {
            if (count > 0) {
                problems.push_back(std::to_string(count) + " " + what);
            }
        };
        complain(errors_.total(), "messages were refused: " + errors_.text());
        complain(ledger_->lost(), "of " + std::to_string(ledger_->lost() + ledger_->delivered()) +
                                      " deliveries did not come (within " + grouped(options_.drain, 1) + " s)");
        complain(ledger_->doubled(), "deliveries came twice");
        complain(ledger_->late(), "deliveries came out of order");
        complain(ledger_->strange(), "deliveries were none of this run, though they bear its mark");
        if (problems.empty() && ledger_->delivered() == 0 && !run_.stopped) {
            problems.emplace_back("nothing was published: --rate is too low for this --duration");
        }
        return problems;
    }

    BenchReport report() const {
        BenchReport report{.load = name_of(options_.load),
                           .url = options_.url,
                           .transport = options_.sse ? "sse" : "websocket",
                           .setup = setup(),
                           .refusals = endings_,
                           .timed = "latency",
                           .interrupted = run_.stopped,
                           .problems = problems()};
        for (const auto& [reason, count] : errors_.counts()) {
            report.refusals.add("message " + reason, count);
        }
        const auto nothing = std::make_unique<BenchLedger>(BenchCrowd{}, span_);
        const BenchLedger& ledger = ledger_ ? *ledger_ : *nothing;
        report.figures = figures(ledger);
        report.times = ledger.latency();
        return report;
    }

    // Constant after construction.
    const BenchRun& run_;
    const BenchOptions& options_;

    // Loop only.
    std::deque<BenchSocket> sockets_;  // Bound: --subscribers and --publishers.
    BenchDialer dialer_;
    BenchStamper stamper_;
    std::string message_;
    BenchSpan span_{};
    Instant ended_;
    std::unique_ptr<BenchLedger> ledger_;  // None while sockets open.
    bool publishing_over_ = false;
    std::size_t next_publisher_ = 0;
    std::vector<std::size_t> unsent_;  // Publishers with something to flush at the turn's end; each once.
    std::vector<bool> has_unsent_;
    std::size_t opened_ = 0;
    BenchTally endings_;
    BenchTally errors_;
    std::uint64_t shown_published_ = 0;
    std::uint64_t shown_delivered_ = 0;
    BenchProgress progress_;
};

}  // namespace

BenchReport run_bench_events(const BenchRun& run) {
    return Events(run).go();
}

}  // namespace boardbus::cli
