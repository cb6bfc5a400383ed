// `boardbus bench connect`: opens sockets, holds them, closes them.
//
// A refusal is counted and the next socket is tried all the same: the question is how many get in. A socket that opened and was closed
// before the hold was over has been refused, too (a WebSocket with a wrong token is closed right behind its handshake).
// SPDX-License-Identifier: Apache-2.0
#include <deque>

#include "cli/bench_dialer.h"
#include "cli/bench_run.h"

namespace boardbus::cli {
namespace {

class Connect final : private BenchSocketOwner {
  public:
    explicit Connect(const BenchRun& run)
        : run_(run),
          begin_(std::chrono::steady_clock::now()),
          last_open_(begin_),
          dialer_({.connections = run.options.connections,
                   .rate_per_s = run.options.rate,
                   .handshakes = run.options.handshakes,
                   .timeout = std::chrono::duration_cast<std::chrono::milliseconds>(from_seconds(run.options.timeout))},
                  begin_, [this](std::size_t number, Instant due) -> BenchSocket& { return dial(number, due); }),
          progress_(run.loop, run.options.progress, [this] { return line(); }) {}

    BenchReport go() {
        while (!run_.stopped && !dialer_.done()) {
            dialer_.step(std::chrono::steady_clock::now());
            run_.loop.turn(dialer_.longest_turn());
        }
        const Instant until = std::chrono::steady_clock::now() + from_seconds(run_.options.hold);
        // A refusal may come right behind the handshake: one turn without a hold, too.
        do {
            run_.loop.turn(std::chrono::milliseconds(10));
        } while (!run_.stopped && open_ > 0 && std::chrono::steady_clock::now() < until);
        return report();
    }

  private:
    BenchSocket& dial(std::size_t number, Instant due) {
        BenchSocketOwner& owner = *this;
        BenchSocket& socket = sockets_.emplace_back(run_.loop, owner, number);
        socket.open(run_.target, run_.options.sse ? BenchStream::sse : BenchStream::websocket,
                    run_.options.board + "-" + std::to_string(number % run_.options.boards), due);
        return socket;
    }

    void on_open(BenchSocket& /*socket*/, std::chrono::nanoseconds handshake) override {
        ++opened_;
        ++open_;
        last_open_ = std::chrono::steady_clock::now();
        handshakes_.add(handshake);
    }

    void on_text(BenchSocket& /*socket*/, std::string_view /*text*/, Instant /*now*/) override {
        ++texts_;  // Somebody else uses these boards: no matter.
    }

    void on_end(BenchSocket& socket, const std::string& why) override {
        open_ -= socket.was_open() ? 1 : 0;
        refusals_.add(why);
    }

    std::string line() const {
        return "opened " + grouped(static_cast<double>(opened_), 0) + " of " +
               grouped(static_cast<double>(run_.options.connections), 0) + ", open " +
               grouped(static_cast<double>(open_), 0) + ", refused " +
               grouped(static_cast<double>(refusals_.total()), 0);
    }

    BenchReport report() const {
        const BenchOptions& options = run_.options;
        const double seconds = std::chrono::duration<double>(last_open_ - begin_).count();
        BenchReport report{.load = name_of(options.load),
                           .url = options.url,
                           .transport = options.sse ? "sse" : "websocket",
                           .setup = {{"connections", static_cast<double>(options.connections)},
                                     {"boards", static_cast<double>(options.boards)},
                                     {"rate_per_s", options.rate, 1},
                                     {"handshakes_at_once", static_cast<double>(options.handshakes)},
                                     {"hold_seconds", options.hold, 1},
                                     {"source_addresses", static_cast<double>(run_.target.sources)}},
                           .figures = {{"tried", static_cast<double>(dialer_.begun())},
                                       {"opened", static_cast<double>(opened_)},
                                       {"held", static_cast<double>(open_)},
                                       {"refused", static_cast<double>(refusals_.total())},
                                       {"texts", static_cast<double>(texts_)},
                                       {"seconds", seconds, 3},
                                       {"sockets_per_s", seconds > 0 ? static_cast<double>(opened_) / seconds : 0, 1}},
                           .refusals = refusals_,
                           .timed = "handshake",
                           .times = handshakes_,
                           .interrupted = run_.stopped};
        if (refusals_.total() > 0) {
            report.problems.push_back(std::to_string(refusals_.total()) + " of " + std::to_string(dialer_.begun()) +
                                      " sockets were refused: " + refusals_.text());
        }
        return report;
    }

    const BenchRun& run_;
    const Instant begin_;
    Instant last_open_;
    std::deque<BenchSocket> sockets_;  // Bound: --connections.
    std::size_t opened_ = 0;
    std::size_t open_ = 0;
    std::uint64_t texts_ = 0;
    BenchTally refusals_;
    Histogram handshakes_;
    BenchDialer dialer_;
    BenchProgress progress_;
};

}  // namespace

BenchReport run_bench_connect(const BenchRun& run) {
    return Connect(run).go();
}

}  // namespace boardbus::cli
