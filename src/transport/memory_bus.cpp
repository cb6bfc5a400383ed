// SPDX-License-Identifier: Apache-2.0
#include "transport/memory_bus.h"

#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "board/cursor.h"

namespace boardbus::transport {

MemoryBus::MemoryBus(Loop& loop, board::ActivitySink& sink, MemoryBusOptions options)
    : loop_(loop), sink_(sink), options_(options), history_(board::epoch_text(random_u64()), options.history) {}

void MemoryBus::start() {
    sink_.on_begin(history_.epoch(), 0);
    sink_.on_live(true);
}

void MemoryBus::commit(std::vector<board::CommitRequest> batch, CommitDone done) {
    forget_old_keys();
    std::vector<board::CommitResult> results;
    results.reserve(batch.size());
    std::vector<board::ActivityView> activities;
    activities.reserve(batch.size());
    const WallTime now = wall_now();
    for (const board::CommitRequest& request : batch) {
        results.push_back({claim(request), {}});
        if (results.back().status == board::CommitResult::Status::duplicate) {
            continue;
        }
        if (const board::ActivityView* event = history_.append(request, now)) {
            activities.push_back(*event);
        } else {
            results.back() = {board::CommitResult::Status::failed, "not an event"};
        }
    }
    if (!activities.empty()) {
        sink_.on_activities(std::move(activities));
    }
    done(std::move(results));
}

board::CommitResult::Status MemoryBus::claim(const board::CommitRequest& request) {
    using Status = board::CommitResult::Status;
    const auto known = marks_.find(request.idempotency_key);
    if (known == marks_.end()) {
        claim_key(request.idempotency_key, request.fingerprint);
        return Status::fresh;
    }
    if (known->second.fingerprint == request.fingerprint) {
        known->second.expires = loop_.now() + options_.idempotency_ttl;
        return Status::duplicate;
    }
    return claim_key(request.idempotency_key + ':' + request.fingerprint, request.fingerprint) ? Status::conflict
                                                                                               : Status::duplicate;
}

bool MemoryBus::claim_key(std::string key, const std::string& fingerprint) {
    const Instant expires = loop_.now() + options_.idempotency_ttl;
    const auto [mark, fresh] = marks_.try_emplace(key, Mark{fingerprint, expires});
    if (fresh) {
        by_expiry_.emplace_back(expires, std::move(key));
    } else {
        mark->second.expires = expires;
    }
    return fresh;
}

void MemoryBus::forget_old_keys() {
    while (!by_expiry_.empty() && (by_expiry_.front().first <= loop_.now() || marks_.size() >= options_.keys_max)) {
        const auto mark = marks_.find(by_expiry_.front().second);
        if (mark->second.expires > loop_.now() && marks_.size() < options_.keys_max) {
            // A duplicate has renewed it: it queues again with its real time.
            by_expiry_.emplace_back(mark->second.expires, std::move(by_expiry_.front().second));
        } else {
            marks_.erase(mark);
        }
        by_expiry_.pop_front();
    }
}

void MemoryBus::probe(std::move_only_function<void(Result<void>)> done) {
    done({});
}

void MemoryBus::count_attempt(const std::string&, std::move_only_function<void(Result<std::int64_t>)> done) {
    // A crash of this process forgets its messages with it, so no message can kill it twice.
    done(1);
}

void MemoryBus::forget_attempts(const std::string&) {}

}  // namespace boardbus::transport
