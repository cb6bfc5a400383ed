// What the fan-out costs before and around the system call: encoding an event for all its readers, and the backlog of a slow one.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/micro_events.h"
#include "board/activity.h"
#include "hub/hub.h"
#include "hub/outbox.h"
#include "hub/reader.h"
#include "hub/shard.h"
#include "telemetry/metrics.h"
#include "web/ws_codec.h"
#include "web/ws_deflate.h"

namespace boardbus::bench {
namespace {

/// A non-blocking stream whose far end takes what is written.
struct Sink {
    Sink() {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0) {
            near.reset(pair[0]);
            far.reset(pair[1]);
        }
    }

    void drain() const {
        static std::array<char, 256 * 1024> bytes;
        while (::recv(far.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
        }
    }

    UniqueFd near;
    UniqueFd far;
};

class QuietReader final : public hub::Reader {
  public:
    QuietReader(hub::Shard& shard, UniqueFd fd, hub::Form form) : Reader(shard, std::move(fd), form) {}

    void on_ready(std::uint32_t) override {}
    void on_trouble(hub::Trouble) override {}
    void on_notice(std::string_view, const hub::EncodedNotice&) override {}
};

/// 64 events, the longest run, to one reader: parse, count, encode, one write. The argument: the reader's form.
void hub_64_events(benchmark::State& state) {
    Loop loop;
    telemetry::Metrics metrics;
    web::Deflater deflater;
    hub::Hub hub(
        loop,
        {.text = [](std::string_view text, std::string& out) { web::append_frame(out, web::Opcode::text, text); },
         .deflated =
             [&](std::string_view text, std::string& out) {
                 web::append_frame(out, web::Opcode::text, deflater.deflate(text), web::Compressed::yes);
             }},
        metrics);
    hub::SlowBudget budget(1 << 20, 1 << 20);
    telemetry::LoopCounters counters;
    hub::Shard shard(loop, hub, budget, counters);
    hub.add_shard(shard);
    Sink sink;
    QuietReader reader(shard, std::move(sink.near), static_cast<hub::Form>(state.range(0)));
    shard.join(reader, "board-17");
    const std::string text = activity_text();
    for (auto _ : state) {
        std::vector<board::ActivityView> activities;
        activities.reserve(64);
        for (int i = 0; i < 64; ++i) {
            activities.push_back(std::move(*board::parse_activity(text)));
        }
        hub.on_activities(std::move(activities));
        loop.turn(std::chrono::milliseconds(0));
        sink.drain();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 64);
}
BENCHMARK(hub_64_events)
    ->ArgName("form")
    ->Arg(static_cast<int>(hub::Form::ws))
    ->Arg(static_cast<int>(hub::Form::ws_deflate))
    ->Arg(static_cast<int>(hub::Form::sse_chunked));

/// Sixteen runs wait, then leave.
void outbox_16_runs(benchmark::State& state) {
    hub::SlowBudget budget(4 << 20, 16 << 20);
    const Sink sink;
    const auto run = std::make_shared<const std::string>(400, 'x');
    for (auto _ : state) {
        hub::Outbox outbox(budget);
        for (int i = 0; i < 16; ++i) {
            benchmark::DoNotOptimize(outbox.push(run, 0));
        }
        benchmark::DoNotOptimize(outbox.flush(sink.near.get()));
        sink.drain();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 16);
}
BENCHMARK(outbox_16_runs);

/// The same without the socket: queued and given up.
void outbox_16_runs_dropped(benchmark::State& state) {
    hub::SlowBudget budget(4 << 20, 16 << 20);
    const auto run = std::make_shared<const std::string>(400, 'x');
    for (auto _ : state) {
        hub::Outbox outbox(budget);
        for (int i = 0; i < 16; ++i) {
            benchmark::DoNotOptimize(outbox.push(run, 0));
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 16);
}
BENCHMARK(outbox_16_runs_dropped);

}  // namespace
}  // namespace boardbus::bench
