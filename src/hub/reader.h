// One connection as the fan-out sees it: a descriptor, its places in the groups of its boards, and a backlog when it is
// slow.
//
// The sessions of web/ derive from it. It owns the descriptor. Writing goes through its Shard only, so that a session's
// own frames and the events of its boards leave in one order. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "hub/outbox.h"

namespace boardbus::hub {

/// In which form a reader wants its events. Each form of an event is built once for all its readers.
enum class Form : std::uint8_t {
    ws,           ///< A WebSocket text frame.
    ws_deflate,   ///< The same with permessage-deflate.
    sse_chunked,  ///< A server-sent event as an HTTP/1.1 chunk of its own.
    sse_plain,    ///< A server-sent event, for HTTP/1.0.
    none,         ///< No events: an HTTP connection, which only writes.
};
inline constexpr std::size_t kForms = 4;  ///< Of events.

inline bool is_stream(Form form) {
    return form == Form::sse_chunked || form == Form::sse_plain;
}

/// Why a reader cannot go on.
enum class Trouble : std::uint8_t {
    none,
    too_slow,  ///< Its backlog is full. It has missed events from here on.
    lost,      ///< The socket failed.
};

struct EncodedNotice;
struct Group;
class Shard;

/// A reader's place in a group.
struct Membership {
    Group* group = nullptr;
    std::unique_ptr<Membership>
        next;  ///< The first is part of the reader: nearly all have only one. Bound: the session's.
    std::uint32_t index = 0;
};

class Reader : public Watcher {
  public:
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    /// Leaves its boards and closes the socket.
    virtual ~Reader();

    int fd() const { return fd_.get(); }
    Form form() const { return form_; }

    /// Bytes that wait for the socket; 0 for a reader that keeps up.
    std::size_t backlog() const { return outbox_ ? outbox_->bytes() : 0; }

    /// Its (first) board; "" when it is on none, or on all.
    std::string_view board() const;

    /// Called at the end of a turn, once per trouble. May destroy the reader.
    virtual void on_trouble(Trouble trouble) = 0;

    /// The events of one of its boards ("": all) do not go on where they were. May destroy this reader, no other.
    virtual void on_notice(std::string_view board, const EncodedNotice& notice) = 0;

  protected:
    Reader(Shard& shard, UniqueFd fd, Form form) : shard_(shard), fd_(std::move(fd)), form_(form) {}

    Shard& shard() const { return shard_; }

    /// False while Shard::set_reading() holds its input back.
    bool is_read() const { return reading_; }

    /// Gives the socket to the object that takes this reader's place. Nothing may be waiting to be written.
    UniqueFd release_fd() { return std::move(fd_); }

  private:
    friend class Shard;

    Shard& shard_;
    std::unique_ptr<Outbox> outbox_;  // Only while something waits.
    Membership first_;
    UniqueFd fd_;
    Form form_;
    Trouble trouble_ = Trouble::none;  // Not none: it stands in the shard's list.
    bool reading_ = true;
};

}  // namespace boardbus::hub
