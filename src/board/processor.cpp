// SPDX-License-Identifier: Apache-2.0
#include "board/processor.h"

#include "base/fault.h"
#include "board/activity.h"
#include "board/envelope.h"

namespace boardbus::board {
namespace {

Verdict failure(const Delivery& delivery, const RetryPolicy& policy, double chance, std::string error,
                const std::string& event_id, const std::string& board_id) {
    Verdict verdict;
    verdict.attempts = policy.retries(delivery.retry_count) + 1;
    verdict.error = std::move(error);
    verdict.event_id = event_id;
    verdict.board_id = board_id;
    if (verdict.attempts > policy.retries_max) {
        verdict.kind = Verdict::Kind::dead_letter;
        verdict.reason = "retries_exhausted";
    } else {
        verdict.kind = Verdict::Kind::retry;
        verdict.delay = policy.delay(verdict.attempts, chance);
    }
    return verdict;
}

Verdict unreadable(const Delivery& delivery, const RetryPolicy& policy, std::string error) {
    Verdict verdict;
    verdict.kind = Verdict::Kind::dead_letter;
    verdict.attempts = policy.retries(delivery.retry_count) + 1;
    verdict.reason = "invalid_payload";
    verdict.error = std::move(error);
    verdict.event_id = delivery.message_id;  // The best name that there is for a body that says nothing.
    return verdict;
}

}  // namespace

std::variant<CommitRequest, Verdict> prepare(const Delivery& delivery, const RetryPolicy& policy, double chance) {
    auto envelope = decode_envelope(delivery.body);
    if (!envelope) {
        return unreadable(delivery, policy, envelope.error().detail);
    }
    fault::point("worker.handling", envelope->message.action);
    if (fault::fails("processor.message", envelope->message.action)) {
        return failure(delivery, policy, chance, "injected fault", envelope->event_id, envelope->board_id);
    }
    CommitRequest request{.fingerprint = fingerprint(*envelope),
                          .activity = encode_activity(*envelope),
                          .published_at = parse_iso_8601(envelope->timestamp).value_or(WallTime{})};
    if (request.activity.size() > kActivityBytesMax) {
        Verdict verdict = unreadable(delivery, policy,
                                     "the event has " + std::to_string(request.activity.size()) + " bytes, " +
                                         std::to_string(kActivityBytesMax) + " are allowed");
        verdict.event_id = envelope->event_id;
        verdict.board_id = envelope->board_id;
        return verdict;
    }
    request.idempotency_key = std::move(envelope->idempotency_key);
    request.event_id = std::move(envelope->event_id);
    request.board_id = std::move(envelope->board_id);
    request.action = std::move(envelope->message.action);
    return request;
}

Verdict judge(const Delivery& delivery, const CommitRequest& request, const CommitResult& result,
              const RetryPolicy& policy, double chance) {
    switch (result.status) {
        case CommitResult::Status::failed:
        case CommitResult::Status::unavailable:
            return failure(delivery, policy, chance, result.detail, request.event_id, request.board_id);
        case CommitResult::Status::fresh:
        case CommitResult::Status::duplicate:
        case CommitResult::Status::conflict:
            break;
    }
    Verdict verdict;
    verdict.attempts = policy.retries(delivery.retry_count) + 1;
    verdict.event_id = request.event_id;
    verdict.board_id = request.board_id;
    return verdict;
}

}  // namespace boardbus::board
