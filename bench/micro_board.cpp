// What the decisions of board/ cost, without any I/O: JSON, messages, envelopes, events.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "bench/micro_events.h"
#include "board/json.h"

namespace boardbus::bench {
namespace {

void count_bytes(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

void json_validate(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::json::is_valid(kMessageText));
    }
    count_bytes(state, kMessageText.size());
}
BENCHMARK(json_validate);

void message_parse(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::parse_board_message(kMessageText));
    }
    count_bytes(state, kMessageText.size());
}
BENCHMARK(message_parse);

void envelope_seal(benchmark::State& state) {
    const auto message = *board::parse_board_message(kMessageText);
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::seal(message, "board-17", kEventId, kOtherId, wall_now()));
    }
}
BENCHMARK(envelope_seal);

void envelope_ids(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(random_uuid());
    }
}
BENCHMARK(envelope_ids);

void envelope_decode(benchmark::State& state) {
    const std::string body = sealed().body;
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::decode_envelope(body));
    }
    count_bytes(state, body.size());
}
BENCHMARK(envelope_decode);

void envelope_fingerprint(benchmark::State& state) {
    const auto envelope = *board::decode_envelope(sealed().body);
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::fingerprint(envelope));
    }
}
BENCHMARK(envelope_fingerprint);

void activity_encode(benchmark::State& state) {
    const auto envelope = *board::decode_envelope(sealed().body);
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::encode_activity(envelope));
    }
}
BENCHMARK(activity_encode);

void activity_parse(benchmark::State& state) {
    const std::string text = activity_text();
    for (auto _ : state) {
        benchmark::DoNotOptimize(board::parse_activity(text));
    }
    count_bytes(state, text.size());
}
BENCHMARK(activity_parse);

}  // namespace
}  // namespace boardbus::bench
