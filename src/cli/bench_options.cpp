// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <sstream>
#include <string_view>

#include "cli/bench_stamp.h"

namespace boardbus::cli {
namespace {

using Load = BenchOptions::Load;

// One subscriber's view of one publisher takes about 40 B: 4 million are 160 MB.
constexpr std::size_t kPairsMax = 4'000'000;
constexpr std::size_t kNameMax = 200;

template <typename Number>
void add_number(CLI::App& app, const char* name, Number& place, const std::string& help, const char* unit, Number least,
                Number most) {
    std::ostringstream text;
    text << help << ", default " << place;
    app.add_option(name, place, text.str())->type_name(unit)->check(CLI::Range(least, most));
}

void add_common(CLI::App& app, BenchOptions& options, std::string& env_file, std::string& token) {
    app.add_option("--env-file", env_file, "Variables to start from, default ./.env when present")->type_name("FILE");
    app.add_option("--url", options.url, "The app, http:// or ws://, default " + options.url)->type_name("URL");
    app.add_option("--token", token, "Its token, default ADVANCED_REALTIME_TOKEN")->type_name("TOKEN");
    app.add_option("--board", options.board, "Boards are called NAME-0, NAME-1 and so on, default " + options.board)
        ->type_name("NAME");
    add_number(app, "--boards", options.boards, "Boards", "NUMBER", std::size_t{1}, std::size_t{100'000});
    add_number(app, "--handshakes", options.handshakes, "Handshakes under way at once", "NUMBER", std::size_t{1},
               std::size_t{10'000});
    add_number(app, "--timeout", options.timeout, "Longest wait for one handshake", "SECONDS", 0.1, 3600.0);
    app.add_flag("--json", options.json, "Print one JSON object on standard output instead of the tables");
    app.add_flag("--progress", options.progress,
                 "A line per second on standard error, which a terminal gets without asking");
}

void add_events(CLI::App& app, BenchOptions& options) {
    add_number(app, "--subscribers", options.subscribers, "Readers, spread over the boards", "NUMBER", std::size_t{1},
               std::size_t{1'000'000});
    app.add_flag("--sse", options.sse, "Readers are SSE streams instead of WebSockets");
    add_number(app, "--publishers", options.publishers, "WebSockets that send, spread over the boards", "NUMBER",
               std::size_t{1}, kBenchPublishersMax);
    add_number(app, "--rate", options.rate,
               "Events a second, all publishers together; latency counts from\n"
               "the moment at which an event was due. 0: as many as --window lets\nthrough",
               "NUMBER", 0.0, 1e6);
    add_number(app, "--window", options.window, "Events of one publisher on their way at once, when --rate is 0",
               "NUMBER", std::size_t{1}, std::size_t{10'000});
    add_number(app, "--payload", options.payload, "Size of an event's payload", "BYTES", kBenchPayloadMin,
               std::size_t{60'000});
    add_number(app, "--duration", options.duration, "Measured time", "SECONDS", 0.1, 86'400.0);
    add_number(app, "--warmup", options.warmup, "Time before it, with the same load", "SECONDS", 0.0, 3600.0);
    add_number(app, "--drain", options.drain, "Longest wait at the end for what is on its way", "SECONDS", 0.0, 3600.0);
}

bool is_plain_name(std::string_view name) {
    return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               std::string_view("-._~").contains(c);
    });
}

}  // namespace

std::string name_of(BenchOptions::Load load) {
    switch (load) {
        case Load::fanout:
            return "fanout";
        case Load::pipeline:
            return "pipeline";
        case Load::connect:
            return "connect";
    }
    return "";
}

BenchLine::BenchLine()
    : fanout{.load = Load::fanout, .rate = 100},
      // Four publishers on four boards: one socket has at most 64 messages without an answer.
      pipeline{.load = Load::pipeline, .boards = 4, .subscribers = 4, .publishers = 4},
      connect{.load = Load::connect} {}

void add_bench(CLI::App& root, BenchLine& line, std::string& env_file, std::string& token) {
    auto& bench = *root.add_subcommand("bench", "Load a running app and measure it");
    bench.require_subcommand(1);
    const auto add = [&](const char* help, BenchOptions& options) -> CLI::App& {
        auto& load = *bench.add_subcommand(name_of(options.load), help);
        load.callback([&line, &options] { line.chosen = &options; });
        add_common(load, options, env_file, token);
        return load;
    };
    add_events(add("Many readers: how late does each event reach each of them?", line.fanout), line.fanout);
    add_events(add("Publish to delivery: how many events a second, how late, each once and in order?", line.pipeline),
               line.pipeline);

    auto& connect = add("Many sockets: how fast do they open, and do they stay?", line.connect);
    BenchOptions& options = line.connect;
    add_number(connect, "--connections", options.connections, "Sockets, spread over the boards", "NUMBER",
               std::size_t{1}, std::size_t{5'000'000});
    connect.add_flag("--sse", options.sse, "SSE streams instead of WebSockets");
    add_number(connect, "--rate", options.rate, "Sockets a second; 0: as fast as handshakes end", "NUMBER", 0.0, 1e6);
    add_number(connect, "--hold", options.hold, "How long all of them stay open", "SECONDS", 0.0, 86'400.0);
}

std::optional<std::string> bench_problem(const BenchOptions& options) {
    if (!is_plain_name(options.board)) {
        return "--board: 1 to 200 letters, digits, '-', '.', '_' or '~'";
    }
    if (options.load == Load::connect) {
        return std::nullopt;
    }
    const auto too_few = [&](const char* name, std::size_t count) -> std::optional<std::string> {
        if (count >= options.boards) {
            return std::nullopt;
        }
        return std::string(name) + " " + std::to_string(count) + ": each of the " + std::to_string(options.boards) +
               " boards needs one";
    };
    if (auto problem = too_few("--publishers", options.publishers)) {
        return problem;
    }
    if (auto problem = too_few("--subscribers", options.subscribers)) {
        return problem;
    }
    const std::size_t publishers_of_a_board = (options.publishers + options.boards - 1) / options.boards;
    if (options.subscribers * publishers_of_a_board > kPairsMax) {
        return "--subscribers times --publishers of one board must not exceed " + std::to_string(kPairsMax) +
               ": take more boards";
    }
    return std::nullopt;
}

}  // namespace boardbus::cli
