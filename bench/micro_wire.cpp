// What frames cost, without a socket: parsing a client's, building ours, compressing, the server-sent form.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "bench/micro_events.h"
#include "cli/demo_streams.h"
#include "hub/frame.h"
#include "web/ws_codec.h"
#include "web/ws_deflate.h"

namespace boardbus::bench {
namespace {

constexpr std::array<char, 4> kKey = {'\x37', '\x5a', '\x11', '\x2c'};

void count_bytes(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

/// Sixteen frames that arrived in one read. Unmasking destroys them, so that a copy of the bytes is part of the time.
void ws_parse_16_frames(benchmark::State& state) {
    std::string frames;
    for (int i = 0; i < 16; ++i) {
        frames += cli::client_frame(web::Opcode::text, kMessageText, kKey);
    }
    std::vector<char> buffer(frames.size());
    const web::WsRules rules{.message_bytes_max = 1 << 20};
    web::WsInput input;
    for (auto _ : state) {
        std::memcpy(buffer.data(), frames.data(), frames.size());
        std::span<char> bytes(buffer);
        for (auto event = input.next(bytes, rules); event.kind != web::WsEvent::Kind::none;
             event = input.next(bytes, rules)) {
            benchmark::DoNotOptimize(event.payload.data());
        }
    }
    count_bytes(state, frames.size());
}
BENCHMARK(ws_parse_16_frames);

void ws_unmask(benchmark::State& state) {
    std::vector<char> bytes(static_cast<std::size_t>(state.range(0)), 'x');
    for (auto _ : state) {
        web::unmask(bytes, kKey);
        benchmark::ClobberMemory();
    }
    count_bytes(state, bytes.size());
}
BENCHMARK(ws_unmask)->Arg(256)->Arg(65536);

void ws_append_frame(benchmark::State& state) {
    const std::string text = activity_text();
    std::string out;
    for (auto _ : state) {
        out.clear();
        web::append_frame(out, web::Opcode::text, text);
        benchmark::DoNotOptimize(out.data());
    }
    count_bytes(state, text.size());
}
BENCHMARK(ws_append_frame);

void ws_deflate_event(benchmark::State& state) {
    const std::string text = activity_text();
    web::Deflater deflater;
    for (auto _ : state) {
        benchmark::DoNotOptimize(deflater.deflate(text).data());
    }
    count_bytes(state, text.size());
}
BENCHMARK(ws_deflate_event);

void sse_append(benchmark::State& state) {
    const std::string text = activity_text();
    std::string out;
    for (auto _ : state) {
        out.clear();
        benchmark::DoNotOptimize(hub::append_sse(out, kEventId, "card.moved", text));
    }
    count_bytes(state, text.size());
}
BENCHMARK(sse_append);

}  // namespace
}  // namespace boardbus::bench
