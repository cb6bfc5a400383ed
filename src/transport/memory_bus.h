// Dedupe, position, history and publish of the one-process mode: the same step that Redis does in the other.
//
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "transport/history_bounds.h"
#include "transport/memory_history.h"

namespace boardbus::transport {

struct MemoryBusOptions {
    std::chrono::seconds idempotency_ttl{300};
    /// Keys remembered at once; beyond it the oldest is forgotten early. 1,000,000 × about 200 B = 200 MB at worst.
    std::size_t keys_max = 1'000'000;
    HistoryBounds history;
};

class MemoryBus final : public board::ActivityBus {
  public:
    MemoryBus(Loop& loop, board::ActivitySink& sink, MemoryBusOptions options);

    /// Tells the sink where its history begins and that events are shown as they happen, once and for all.
    void start();
    board::ActivityHistory& history() { return history_; }

    /// Errors: never `unavailable`: this bus is always there.
    void commit(std::vector<board::CommitRequest> batch, CommitDone done) override;
    void probe(std::move_only_function<void(Result<void>)> done) override;
    void count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) override;
    void forget_attempts(const std::string& id) override;

  private:
    struct Mark {
        std::string fingerprint;
        Instant expires;
    };

    board::CommitResult::Status claim(const board::CommitRequest& request);
    bool claim_key(std::string key, const std::string& fingerprint);
    void forget_old_keys();

    // Constant after construction.
    Loop& loop_;
    board::ActivitySink& sink_;
    const MemoryBusOptions options_;

    // Loop only.
    MemoryHistory history_;
    std::unordered_map<std::string, Mark> marks_;            // At most keys_max.
    std::deque<std::pair<Instant, std::string>> by_expiry_;  // Each mark once; its expiry here may be out of date.
};

}  // namespace boardbus::transport
