// SPDX-License-Identifier: Apache-2.0
#include "telemetry/span_buffer.h"

#include <algorithm>

namespace boardbus::telemetry {

void SpanBuffer::push(const Span& span) {
    if (spans_.size() < most_) {
        std::string& text = spans_.emplace_back();
        text.reserve(768);  // A span of ours is 500 to 700 B: one allocation.
        append_span(text, span);
    } else {
        ++dropped_;
    }
    if (on_push_) {
        on_push_();
    }
}

SpanBuffer::Batch SpanBuffer::take(std::size_t most) {
    Batch batch{.spans = {}, .count = std::min(most, spans_.size())};
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < batch.count; ++i) {
        bytes += spans_[i].size() + 1;
    }
    batch.spans.reserve(bytes);
    for (std::size_t i = 0; i < batch.count; ++i) {
        batch.spans += i == 0 ? "" : ",";
        batch.spans += spans_.front();
        spans_.pop_front();
    }
    return batch;
}

}  // namespace boardbus::telemetry
