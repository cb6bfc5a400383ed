// The result of one run of `boardbus bench`, for people and for programs.
//
// Both forms are made from the same figures, so neither can say anything else than the other. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "cli/bench_tally.h"

namespace boardbus::cli {

struct BenchFigure {
    std::string name;  ///< Also the JSON member: events_per_s.
    double value = 0;
    int decimals = 0;
};

struct BenchReport {
    std::string load;  ///< fanout, pipeline, connect.
    std::string url;
    std::string transport;  ///< websocket, sse.
    std::vector<BenchFigure> setup;
    std::vector<BenchFigure> figures;
    BenchTally refusals;  ///< Error frames, and connections that did not open or did not last.
    std::string timed;    ///< What the histogram has: latency, handshake.
    Histogram times;
    bool interrupted = false;           ///< Ended before its time by a signal.
    std::vector<std::string> problems;  ///< None: everything came as it should.
};

/// Aligned tables and a small histogram, several lines.
std::string report_as_text(const BenchReport& report);

/// One JSON object on one line.
std::string report_as_json(const BenchReport& report);

/// 1234567.8 as 1,234,567.8
std::string grouped(double value, int decimals);

}  // namespace boardbus::cli
