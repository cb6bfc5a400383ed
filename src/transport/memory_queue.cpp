// SPDX-License-Identifier: Apache-2.0
#include "transport/memory_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "transport/dead_letter_log.h"

namespace boardbus::transport {
namespace {

// A body's share of the bound: its bytes and what the bookkeeping around them takes (two strings, deque and map nodes: about 200 B).
std::size_t cost_of(const board::Delivery& delivery) {
    return delivery.body.size() + 256;
}

}  // namespace

MemoryQueue::MemoryQueue(Loop& loop, telemetry::Metrics& metrics, MemoryQueueOptions options)
    : loop_(loop), metrics_(metrics), options_(options), retry_timer_(loop, [this] { retry_due(); }) {
    loop_.add_turn_end(*this);
}

MemoryQueue::~MemoryQueue() {
    loop_.remove_turn_end(*this);
}

void MemoryQueue::publish(board::Publication publication, board::PublishDone done) {
    board::Delivery delivery{.tag = next_tag_,
                             .body = std::move(publication.body),
                             .message_id = std::move(publication.event_id),
                             .retry_count = 0,
                             .redelivered = false,
                             .trace = parse_traceparent(publication.traceparent)};
    if (bytes_ > 0 && bytes_ + cost_of(delivery) > options_.bytes_max) {
        metrics_.published(telemetry::PublishStatus::rejected, {});
        done({board::PublishOutcome::rejected, "overloaded"});
        return;
    }
    ++next_tag_;
    bytes_ += cost_of(delivery);
    waiting_.push_back(std::move(delivery));
    metrics_.published(telemetry::PublishStatus::accepted, {});
    done({board::PublishOutcome::accepted, {}});
}

void MemoryQueue::start(board::DeliverySink& sink) {
    sink_ = &sink;
    loop_.again();
}

void MemoryQueue::release() {
    board::DeliverySink* const sink = std::exchange(sink_, nullptr);
    while (!unsettled_.empty()) {
        auto last = unsettled_.extract(std::prev(unsettled_.end()));
        last.mapped().redelivered = true;
        waiting_.push_front(std::move(last.mapped()));
    }
    if (sink != nullptr) {
        sink->on_source_reset();
    }
}

void MemoryQueue::on_turn_end() {
    if (sink_ == nullptr || waiting_.empty() || unsettled_.size() >= options_.prefetch) {
        return;
    }
    std::vector<board::Delivery> batch;
    batch.reserve(std::min(waiting_.size(), options_.prefetch - unsettled_.size()));
    while (!waiting_.empty() && unsettled_.size() < options_.prefetch) {
        board::Delivery delivery = std::move(waiting_.front());
        waiting_.pop_front();
        delivery.tag = next_tag_++;
        batch.push_back(delivery);
        const std::uint64_t tag = delivery.tag;
        unsettled_.emplace_hint(unsettled_.end(), tag, std::move(delivery));
    }
    sink_->on_deliveries(std::move(batch));
    if (!waiting_.empty()) {
        loop_.again();
    }
}

void MemoryQueue::settle(std::uint64_t tag, board::Verdict verdict) {
    auto node = unsettled_.extract(tag);
    if (node.empty()) {
        return;
    }
    board::Delivery delivery = std::move(node.mapped());
    switch (verdict.kind) {
        case board::Verdict::Kind::ack:
            bytes_ -= cost_of(delivery);
            break;
        case board::Verdict::Kind::retry:
            ++delivery.retry_count;
            delayed_.emplace(loop_.now() + verdict.delay, std::move(delivery));
            retry_timer_.start(delayed_.begin()->first - loop_.now());
            break;
        case board::Verdict::Kind::dead_letter:
            bytes_ -= cost_of(delivery);
            keep_dead(std::move(delivery), verdict);
            break;
    }
    if (verdict.kind != board::Verdict::Kind::ack && sink_ != nullptr) {
        sink_->on_copied(tag);
    }
    if (!waiting_.empty()) {
        loop_.again();
    }
}

void MemoryQueue::retry_due() {
    while (!delayed_.empty() && delayed_.begin()->first <= loop_.now()) {
        waiting_.push_back(std::move(delayed_.begin()->second));
        delayed_.erase(delayed_.begin());
    }
    if (!delayed_.empty()) {
        retry_timer_.start(delayed_.begin()->first - loop_.now());
    }
}

void MemoryQueue::keep_dead(board::Delivery delivery, const board::Verdict& verdict) {
    log_dead_letter(metrics_, verdict, delivery.message_id);
    if (dead_letters_.size() == options_.dead_letters_max) {
        dead_letters_.pop_front();
    }
    dead_letters_.push_back(std::move(delivery));
}

}  // namespace boardbus::transport
