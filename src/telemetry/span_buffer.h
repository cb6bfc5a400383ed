// Spans that wait to be sent.
//
// Bounded: a span that finds it full is dropped and counted, because nothing that is only looked at may hold up what it looks at.
// Spans are encoded when they come, one by one, so that no turn of the loop has to encode a whole batch. Lives on one loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "telemetry/span.h"

namespace boardbus::telemetry {

class SpanBuffer {
  public:
    /// `most` spans: 2,048 × about 0.6 KiB = 1.2 MiB; texts at their limits and full of escapes make it 10 MiB.
    /// `on_push` hears of every span, taken or dropped.
    explicit SpanBuffer(std::size_t most = 2048, std::function<void()> on_push = {})
        : most_(most), on_push_(std::move(on_push)) {}
    SpanBuffer(const SpanBuffer&) = delete;
    SpanBuffer& operator=(const SpanBuffer&) = delete;

    /// Full: dropped and counted.
    void push(const Span& span);

    struct Batch {
        std::string spans;  ///< Encoded, separated by commas.
        std::size_t count = 0;
    };

    /// Takes the oldest, `most` of them at most.
    Batch take(std::size_t most);

    /// The spans dropped since this was last asked.
    std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

    std::size_t size() const { return spans_.size(); }

  private:
    // Constant after construction.
    const std::size_t most_;
    const std::function<void()> on_push_;

    // Loop only.
    std::deque<std::string> spans_;  // Bound: most_.
    std::uint64_t dropped_ = 0;
};

}  // namespace boardbus::telemetry
