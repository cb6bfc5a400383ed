// Dedupe, position, history and publish of the one-process mode: the same step that Redis does in the other.
//
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
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
    void take_back_attempt(const std::string& id) override;

  private:
    /// A key that was seen.
    struct Mark {
        std::string key;
        std::string fingerprint;
        Instant expires;
        Instant listed;  ///< When it was to expire when it was put into marks_: a duplicate renews it where it stands.
    };
    /// A mark by its key, with the key's hash: looking for one and growing the table touch no other mark.
    struct MarkAt {
        explicit MarkAt(std::string_view its_key, Mark* its_mark = nullptr)
            : hash(std::hash<std::string_view>()(its_key)), key(its_key), mark(its_mark) {}
        std::size_t hash;
        std::string_view key;  ///< The mark's.
        Mark* mark;            ///< Null in what is looked for.
    };
    struct MarkHash {
        using is_avalanching = void;
        std::size_t operator()(const MarkAt& at) const { return at.hash; }
    };
    struct MarkEqual {
        bool operator()(const MarkAt& a, const MarkAt& b) const { return a.hash == b.hash && a.key == b.key; }
    };

    board::CommitResult::Status claim(const board::CommitRequest& request);
    Mark* find(std::string_view key);
    void remember(std::string key, std::string fingerprint);
    void put(Mark mark);
    void forget_old_keys();

    // Constant after construction.
    Loop& loop_;
    board::ActivitySink& sink_;
    const MemoryBusOptions options_;

    // Loop only.
    MemoryHistory history_;
    std::deque<Mark> marks_;  // At most keys_max, in the order of Mark::listed.
    boost::unordered_flat_set<MarkAt, MarkHash, MarkEqual> by_key_;
};

}  // namespace boardbus::transport
