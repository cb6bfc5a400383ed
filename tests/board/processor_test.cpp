// SPDX-License-Identifier: Apache-2.0
#include "board/processor.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "board/activity.h"
#include "board/envelope.h"

namespace boardbus::board {
namespace {

using namespace std::chrono_literals;
using Kind = Verdict::Kind;
using Status = CommitResult::Status;

// Read once by the fault hooks, at their first call.
[[maybe_unused]] const int kFaultsSet = setenv("BOARDBUS_FAULT_FAIL", "processor.message=poison", 1);

constexpr double kNoJitter = 0.5;

Delivery delivery_of(std::string_view message, std::int64_t retry_count = 0) {
    return {.tag = 1,
            .body = seal(parse_board_message(message).value(), "b1", "e-1", "c-1", WallTime{}).body,
            .message_id = "m-1",
            .retry_count = retry_count};
}

TEST(Prepare, AsksForACommit) {
    const Delivery delivery = delivery_of(R"({"action":"a","payload":{"x": 1}})");

    const auto decision = prepare(delivery, RetryPolicy{}, kNoJitter);

    const auto* request = std::get_if<CommitRequest>(&decision);
    ASSERT_NE(request, nullptr);
    EXPECT_EQ(request->idempotency_key, "c-1");
    EXPECT_EQ(request->event_id, "e-1");
    EXPECT_EQ(request->board_id, "b1");
    EXPECT_EQ(request->fingerprint, fingerprint(decode_envelope(delivery.body).value()));
    EXPECT_EQ(request->activity, encode_activity(decode_envelope(delivery.body).value()));
}

TEST(Prepare, SendsAnUnreadableBodyToTheDeadLettersAtOnce) {
    const auto decision = prepare({.tag = 1, .body = "{}", .message_id = "m-1", .retry_count = 99}, {}, kNoJitter);

    const auto* verdict = std::get_if<Verdict>(&decision);
    ASSERT_NE(verdict, nullptr);
    EXPECT_EQ(verdict->kind, Kind::dead_letter);
    EXPECT_EQ(verdict->reason, "invalid_payload");
    EXPECT_EQ(verdict->error, "event_id is missing");
    EXPECT_EQ(verdict->attempts, 6);
    EXPECT_EQ(verdict->event_id, "m-1");
    EXPECT_EQ(verdict->board_id, "");
}

TEST(Prepare, SendsAnEventThatNoReaderCouldReadToTheDeadLettersAtOnce) {
    const std::string text(kActivityBytesMax, 'x');
    const auto decision = prepare(delivery_of(R"({"action":"a","message":")" + text + "\"}"), {}, kNoJitter);

    const auto* verdict = std::get_if<Verdict>(&decision);
    ASSERT_NE(verdict, nullptr);
    EXPECT_EQ(verdict->kind, Kind::dead_letter);
    EXPECT_EQ(verdict->reason, "invalid_payload");
    EXPECT_TRUE(verdict->error.ends_with(" bytes, 12582912 are allowed")) << verdict->error;
    EXPECT_EQ(verdict->event_id, "e-1");
    EXPECT_EQ(verdict->board_id, "b1");
}

TEST(Prepare, RetriesAMessageThatIsMadeToFail) {
    const auto decision = prepare(delivery_of(R"({"action":"poison"})"), RetryPolicy{}, kNoJitter);

    const auto* verdict = std::get_if<Verdict>(&decision);
    ASSERT_NE(verdict, nullptr);
    EXPECT_EQ(verdict->kind, Kind::retry);
    EXPECT_EQ(verdict->error, "injected fault");
    EXPECT_EQ(verdict->delay, 5s);
}

TEST(Judge, AcknowledgesWhatIsPublished) {
    const CommitRequest request{
        .idempotency_key = {}, .fingerprint = {}, .event_id = "e-1", .board_id = "b1", .activity = {}};
    for (const Status status : {Status::fresh, Status::duplicate, Status::conflict}) {
        const Verdict verdict =
            judge(delivery_of(R"({"action":"a"})", 2), request, {.status = status, .detail = {}}, {}, kNoJitter);

        EXPECT_EQ(verdict.kind, Kind::ack);
        EXPECT_EQ(verdict.attempts, 3);
        EXPECT_EQ(verdict.event_id, "e-1");
        EXPECT_EQ(verdict.error, "");
    }
}

TEST(Judge, RetriesFiveTimesAndThenGivesUp) {
    const CommitRequest request{
        .idempotency_key = {}, .fingerprint = {}, .event_id = "e-1", .board_id = "b1", .activity = {}};
    const CommitResult failed{.status = Status::failed, .detail = "no"};
    for (int retries = 0; retries < 5; ++retries) {
        const Verdict verdict = judge(delivery_of(R"({"action":"a"})", retries), request, failed, {}, kNoJitter);

        EXPECT_EQ(verdict.kind, Kind::retry);
        EXPECT_EQ(verdict.attempts, retries + 1);
        EXPECT_EQ(verdict.delay, 5s * (1 << retries));
        EXPECT_EQ(verdict.error, "no");
    }

    const Verdict last = judge(delivery_of(R"({"action":"a"})", 5), request, failed, {}, kNoJitter);

    EXPECT_EQ(last.kind, Kind::dead_letter);
    EXPECT_EQ(last.attempts, 6);
    EXPECT_EQ(last.reason, "retries_exhausted");
    EXPECT_EQ(last.error, "no");
    EXPECT_EQ(last.event_id, "e-1");
    EXPECT_EQ(last.board_id, "b1");
}

TEST(Judge, TakesACountAboveTheMaximumAsTheMaximum) {
    const Verdict verdict =
        judge(delivery_of(R"({"action":"a"})", 1'000'000), {}, {.status = Status::failed, .detail = {}}, {}, kNoJitter);

    EXPECT_EQ(verdict.kind, Kind::dead_letter);
    EXPECT_EQ(verdict.attempts, 6);
}

TEST(Judge, ChargesAnOutageLikeAFailure) {
    const Verdict verdict = judge(delivery_of(R"({"action":"a"})"), {},
                                  {.status = Status::unavailable, .detail = "LOADING"}, {.retries_max = 0}, kNoJitter);

    EXPECT_EQ(verdict.kind, Kind::dead_letter);
    EXPECT_EQ(verdict.attempts, 1);
    EXPECT_EQ(verdict.error, "LOADING");
}

}  // namespace
}  // namespace boardbus::board
