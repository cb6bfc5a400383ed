// What becomes of a delivery: the decisions, without the queue and without Redis.
//
// prepare() turns a delivery into a commit, judge() turns the commit's result into a verdict. Pure (one test hook
// aside); any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "board/ports.h"
#include "board/retry_policy.h"

namespace boardbus::board {

/// The commit that this delivery asks for, or at once the verdict when there is nothing to commit (unreadable, or longer
/// than an event may be: dead_letter, invalid_payload). Fault: `processor.message`, subject = action, makes a message fail
/// like a failed commit.
std::variant<CommitRequest, Verdict> prepare(const Delivery& delivery, const RetryPolicy& policy, double chance);

/// The verdict for a delivery whose commit ended. `unavailable` counts as failed: who pauses on an outage does not ask.
/// `chance` is a random number in [0, 1).
Verdict judge(const Delivery& delivery, const CommitRequest& request, const CommitResult& result,
              const RetryPolicy& policy, double chance);

}  // namespace boardbus::board
