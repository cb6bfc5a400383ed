// Shows that loops disturb each other at most once per event, never per delivery: no lock, and no cache line that one
// loop writes while the other uses it.
//
// A hub with two loops, each a thread with its readers, shows the same events to few readers and to many. What is used by
// both loops and written by one may depend on the number of events; a delivery more must not add to it.
//
// Choice: perf c2c would see the processor's own events, but needs a processor that shows them; few virtual machines do.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "board/activity.h"
#include "board/envelope.h"
#include "board/message.h"
#include "cache_lines/memory_trace.h"
#include "hub/drained_reader.h"
#include "hub/hub.h"
#include "hub/shard.h"
#include "web/edge.h"

namespace {

using namespace boardbus;
using hub::require;
using memory_trace::Counts;

constexpr std::size_t kEvents = 500;
constexpr std::chrono::seconds kLongest{60};  // For one event: then something hangs.

std::string activity() {
    const auto message =
        board::parse_board_message(R"({"action":"card_move","user":"ann","payload":{"card":"c-4711"}})");
    require(message.has_value(), "the message is none");
    const auto publication =
        board::seal(*message, "board", "0f4a6a4e-58e4-4b56-9d6b-3a0e6d1f2c3b", "unused", WallTime{});
    const auto envelope = board::decode_envelope(publication.body);
    require(envelope.has_value(), "the envelope is none");
    return board::encode_activity(*envelope);
}

/// A loop on a thread of its own with its readers.
struct Side {
    Side(hub::Hub& hub, hub::SlowBudget& budget, Loop& loop) : loop(loop), shard(loop, hub, budget, counters) {}

    void start(int number) {
        thread = std::thread([this, number] {
            memory_trace::be_thread(number);
            loop.run();
            memory_trace::be_thread(-1);
        });
    }
    void stop() {
        loop.stop();
        thread.join();
    }

    Loop& loop;
    telemetry::LoopCounters counters;
    hub::Shard shard;
    std::vector<std::unique_ptr<hub::DrainedReader>> readers;
    std::thread thread;
};

/// Shows kEvents events to so many readers on each loop, one after the other.
Counts run(std::size_t readers) {
    Loop loops[memory_trace::kThreads];
    telemetry::Metrics metrics;
    hub::Hub hub(loops[0], web::make_ws_encoder(), metrics);
    hub::SlowBudget budget(1 << 20, 1 << 20);
    Side bus(hub, budget, loops[0]);
    Side other(hub, budget, loops[1]);
    const hub::Drain drain;
    for (Side* side : {&bus, &other}) {
        hub.add_shard(side->shard);
        for (std::size_t reader = 0; reader < readers; ++reader) {
            side->readers.push_back(std::make_unique<hub::DrainedReader>(side->shard, drain));
            side->shard.join(*side->readers.back(), "board");
        }
    }
    bus.start(0);
    other.start(1);
    const std::string text = activity();
    for (std::size_t event = 1; event <= kEvents + 1; ++event) {
        bus.loop.post([&] {
            std::vector<board::ActivityView> events;
            events.push_back(std::move(*board::parse_activity(text)));
            hub.on_activities(std::move(events));
        });
        const auto begin = std::chrono::steady_clock::now();
        for (Side* side : {&bus, &other}) {
            while (side->counters.websocket.deliveries.get() < event * readers) {
                require(std::chrono::steady_clock::now() - begin < kLongest, "an event does not arrive");
                std::this_thread::yield();
            }
        }
        memory_trace::start();  // From the second event on.
    }
    bus.stop();
    other.stop();
    for (Side* side : {&bus, &other}) {
        side->readers.clear();
    }
    return memory_trace::stop();
}

double per(std::uint64_t more, std::uint64_t less, std::size_t number) {
    return (static_cast<double>(more) - static_cast<double>(less)) / static_cast<double>(number);
}

}  // namespace

int main() {
    constexpr std::size_t kFew = 100;
    constexpr std::size_t kMany = 500;
    // A delivery reads its member of the list, and the way from loop to loop some dozens of shared ones per event, whose
    // number varies a little with how the threads meet.
    constexpr double kOwnMin = 1;
    constexpr double kSharedMax = 0.1;
    const Counts few = run(kFew);
    const Counts many = run(kMany);
    std::printf("%8s %12s %20s %22s %14s\n", "readers", "uses of lines", "on shared lines", "shared lines",
                "mutexes locked");
    for (const auto& [readers, counts] : {std::pair{kFew, few}, std::pair{kMany, many}}) {
        std::printf("2 × %4zu %12.1f %20.1f %22llu %14.2f   (per event; lines in all)\n", readers,
                    per(counts.all, 0, kEvents), per(counts.shared, 0, kEvents),
                    static_cast<unsigned long long>(counts.shared_lines), per(counts.locks, 0, kEvents));
    }
    constexpr std::size_t kMore = kEvents * memory_trace::kThreads * (kMany - kFew);
    const double own = per(many.all, few.all, kMore);
    const double shared = per(many.shared, few.shared, kMore);
    const double locked = per(many.locks, few.locks, kMore);
    std::printf("a delivery more: %.2f uses of cache lines, %.4f of them on shared lines, %.4f mutexes locked\n", own,
                shared, locked);
    if (own < kOwnMin || shared > kSharedMax || locked > kSharedMax) {
        std::printf("FAILED: expected at least %.0f, at most %.1f, at most %.1f\n", kOwnMin, kSharedMax, kSharedMax);
        return 1;
    }
    return 0;
}
