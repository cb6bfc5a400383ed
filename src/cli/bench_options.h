// What `boardbus bench` is asked to do: three loads with their options, limits and defaults.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace boardbus::cli {

struct BenchOptions {
    enum class Load { fanout, pipeline, connect };

    Load load = Load::fanout;
    std::string url = "http://127.0.0.1:8004";
    std::string token;
    std::string board = "bench";  ///< Boards are called NAME-0, NAME-1 and so on.
    std::size_t boards = 1;
    std::size_t subscribers = 1000;
    std::size_t publishers = 1;
    std::size_t connections = 1000;  ///< connect.
    bool sse = false;
    double rate = 0;            ///< Per second; 0: as much as goes.
    std::size_t window = 64;    ///< Events on their way per publisher, when there is no rate.
    std::size_t payload = 128;  ///< Bytes.
    double duration = 10;       ///< Seconds, like all below.
    double warmup = 2;
    double drain = 10;
    double hold = 5;  ///< connect.
    double timeout = 10;
    std::size_t handshakes = 128;
    bool json = false;
    bool progress = false;
};

/// "fanout", "pipeline", "connect".
std::string name_of(BenchOptions::Load load);

/// The three loads as they are typed, and which of them it is.
struct BenchLine {
    BenchLine();

    BenchOptions fanout;
    BenchOptions pipeline;
    BenchOptions connect;
    const BenchOptions* chosen = nullptr;
};

/// Adds `bench` and its subcommands to `root`. Env file and token go where those of the other commands go.
void add_bench(CLI::App& root, BenchLine& line, std::string& env_file, std::string& token);

/// What is wrong with a whole that is made of good parts; nothing when it is good.
std::optional<std::string> bench_problem(const BenchOptions& options);

}  // namespace boardbus::cli
