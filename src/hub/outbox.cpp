// SPDX-License-Identifier: Apache-2.0
#include "hub/outbox.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace boardbus::hub {
namespace {

// What a queued piece costs beside its bytes: its place in the deque and, for a pong, a string and its count. Without
// this a client that pings and never reads could pile up two million empty pongs in 4 MiB.
constexpr std::size_t kPieceCost = 96;

// 64 pieces a call, 16 calls a turn: 1,024 runs, far more than a socket buffer takes.
constexpr std::size_t kPiecesPerCall = 64;
constexpr int kCallsPerFlush = 16;

}  // namespace

bool SlowBudget::take(std::size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= total_bytes_) {
        return true;
    }
    give_back(bytes);
    return false;
}

Push Outbox::push(Run run, std::size_t offset) {
    const std::size_t cost = run->size() - offset + kPieceCost;
    if ((cost_ > 0 && cost_ + cost > budget_.reader_bytes()) || !budget_.take(cost)) {
        return Push::too_slow;
    }
    cost_ += cost;
    push_last(std::move(run), offset);
    return Push::queued;
}

void Outbox::push_last(Run run, std::size_t offset) {
    first_started_ = first_started_ || (pieces_.empty() && offset > 0);
    bytes_ += run->size() - offset;
    pieces_.push_back({std::move(run), offset});
}

void Outbox::drop_unstarted() {
    while (pieces_.size() > (first_started_ ? 1U : 0U)) {
        bytes_ -= pieces_.back().run->size() - pieces_.back().offset;
        pieces_.pop_back();
    }
    const std::size_t cost = pieces_.empty() ? 0 : std::min(cost_, bytes_ + kPieceCost);
    budget_.give_back(cost_ - cost);
    cost_ = cost;
}

Flush Outbox::flush(int fd) {
    for (int call = 0; call < kCallsPerFlush && !pieces_.empty(); ++call) {
        std::array<iovec, kPiecesPerCall> parts;
        msghdr message{};
        message.msg_iov = parts.data();
        std::size_t wanted = 0;
        for (const Piece& piece : pieces_) {
            if (message.msg_iovlen == parts.size()) {
                break;
            }
            const std::size_t size = piece.run->size() - piece.offset;
            // sendmsg only reads, but iovec has no const.
            parts[message.msg_iovlen++] = {const_cast<char*>(piece.run->data()) + piece.offset, size};
            wanted += size;
        }
        const ssize_t written = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0) {
            return errno == EAGAIN || errno == EINTR ? Flush::blocked : Flush::lost;
        }
        consume(static_cast<std::size_t>(written));
        if (static_cast<std::size_t>(written) < wanted) {
            return Flush::blocked;
        }
    }
    return pieces_.empty() ? Flush::drained : Flush::blocked;
}

void Outbox::consume(std::size_t written) {
    bytes_ -= written;
    while (written > 0) {
        Piece& first = pieces_.front();
        const std::size_t left = first.run->size() - first.offset;
        if (written < left) {
            first.offset += written;
            first_started_ = true;
            break;
        }
        written -= left;
        pieces_.pop_front();
        first_started_ = false;
    }
    // What has left no longer counts: at most what waits and what its pieces cost.
    const std::size_t cost = std::min(cost_, bytes_ + pieces_.size() * kPieceCost);
    budget_.give_back(cost_ - cost);
    cost_ = cost;
}

}  // namespace boardbus::hub
