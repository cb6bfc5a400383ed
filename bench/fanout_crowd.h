// All sockets of one load generator, and the opening of them: so many handshakes at a time, from several source addresses.
//
// Sockets have numbers in the order of their kinds: readers, streams, stalled, storm. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "bench/fanout_ledger.h"
#include "bench/fanout_socket.h"

namespace boardbus::bench {

struct CrowdOptions {
    std::string server = "127.0.0.1:8004";
    std::string path = "/ws/boards/bench-{i}";  ///< {i} becomes the board's number.
    std::string quiet_path = "/ws/boards/quiet";
    std::string stream_path = "/sse/activity";
    std::string token = "change-me-realtime";
    std::size_t boards = 1;
    std::size_t readers = 1;
    std::size_t streams = 0;
    std::size_t stalled = 0;
    std::size_t storm = 0;
    bool deflate = false;
    std::size_t opening = 128;
    std::size_t sources = 8;
};

/// Who hears what the sockets have to say besides opening.
class CrowdOwner {
  public:
    virtual void on_event(FanoutSocket& socket, std::uint64_t number, std::size_t bytes, Instant now) = 0;
    virtual void on_refused(std::string_view text) = 0;
    virtual void on_trouble(const std::string& why) = 0;

  protected:
    ~CrowdOwner() = default;
};

class Crowd final : private FanoutSocketOwner {
  public:
    /// Errors of make(): invalid (no numeric loopback address).
    static Result<std::unique_ptr<Crowd>> make(Loop& loop, CrowdOwner& owner, FanoutLedger& ledger,
                                               const CrowdOptions& options);
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    /// Begins as many handshakes as may run at once. Called at the end of every turn.
    void open_some();
    bool all_open() const { return waiting_.empty() && opening_ == 0; }

    /// Cuts all sockets of the storm at once; open_some() brings them back.
    void cut_storm();
    /// Handshakes that failed during the storm and were begun again.
    std::uint64_t storm_failures() const { return storm_failures_; }

    void resume_stalled();
    std::size_t stalled_closed(std::uint16_t code) const;

    FanoutSocket& socket(std::size_t number) { return *sockets_[number]; }
    std::size_t size() const { return sockets_.size(); }
    /// Those that must see every event: readers and streams.
    std::size_t counted() const { return options_.readers + options_.streams; }
    /// Events that counted sockets should have seen and have not.
    std::uint64_t missing() const;

  private:
    Crowd(Loop& loop, CrowdOwner& owner, FanoutLedger& ledger, const CrowdOptions& options, sockaddr_in server);

    bool is_storm(std::size_t number) const { return number >= counted() + options_.stalled; }
    Route route(std::size_t number) const;

    void on_open(FanoutSocket& socket) override;
    void on_event(FanoutSocket& socket, std::uint64_t number, std::size_t bytes, Instant now) override;
    void on_refused(FanoutSocket& socket, std::string_view text) override;
    void on_ended(FanoutSocket& socket, std::uint16_t code, const std::string& why) override;

    // Constant after construction.
    CrowdOwner& owner_;
    FanoutLedger& ledger_;
    const CrowdOptions options_;
    const sockaddr_in server_;

    // Loop only.
    EventNumbers numbers_;
    std::vector<std::unique_ptr<FanoutSocket>> sockets_;
    std::deque<std::size_t> waiting_;  // Numbers of sockets to open. Bound: all of them.
    std::size_t opening_ = 0;
    bool stormed_ = false;
    std::uint64_t storm_failures_ = 0;
    std::vector<std::uint16_t> stalled_codes_;  // Close codes that stalled sockets got.
};

}  // namespace boardbus::bench
