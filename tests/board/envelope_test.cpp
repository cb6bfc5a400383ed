// SPDX-License-Identifier: Apache-2.0
#include "board/envelope.h"

#include <gtest/gtest.h>

namespace boardbus::board {
namespace {

// 2026-11-23T09:24:01.004200Z
constexpr WallTime kNow{std::chrono::microseconds(1'795'425'841'004'200)};

Publication sealed(std::string_view message) {
    return seal(parse_board_message(message).value(), "b1", "e-1", "fallback", kNow);
}

/// An envelope as the Python implementation writes it, with one piece replaced.
std::string python_envelope(const std::string& piece = "", const std::string& other = "") {
    std::string text =
        R"({"event_id":"8b7d4f1e-0000-4000-8000-000000000001","board_id":"team board","message":{"action":"move",)"
        R"("payload":{"card":1.50,"to":"done"},"user":"Ana","message":"hi","correlation_id":"c-1"},)"
        R"("published_at":"2026-01-02T03:04:05.678901Z","correlation_id":"c-1","idempotency_key":"k-1"})";
    if (!piece.empty()) {
        text.replace(text.find(piece), piece.size(), other);
    }
    return text;
}

std::string problem_of(std::string_view body) {
    const auto envelope = decode_envelope(body);
    return envelope ? "accepted" : envelope.error().detail;
}

TEST(Seal, WritesTheEnvelope) {
    const Publication publication =
        sealed(R"({"action":"say","payload":{"n": 1.0},"user":"Zoë","message":"a\"b","correlation_id":"c\n1"})");

    EXPECT_EQ(publication.event_id, "e-1");
    EXPECT_EQ(publication.board_id, "b1");
    EXPECT_EQ(publication.correlation_id, "c\n1");
    EXPECT_EQ(publication.published_at, kNow);
    EXPECT_EQ(publication.body,
              R"({"event_id":"e-1","board_id":"b1","message":{"action":"say","payload":{"n":1.0,"message":"a\"b"},)"
              R"("user":"Zoë","message":"a\"b","correlation_id":"c\n1"},"published_at":"2026-11-23T09:24:01.004200Z",)"
              R"("correlation_id":"c\n1","idempotency_key":"c\n1"})");
}

TEST(Seal, GivesTheFallbackIdToAMessageWithoutOne) {
    const Publication publication = sealed(R"({"action":"say","correlation_id":""})");

    EXPECT_EQ(publication.correlation_id, "fallback");
    EXPECT_EQ(publication.body,
              R"({"event_id":"e-1","board_id":"b1","message":{"action":"say","payload":{},"user":"anonymous",)"
              R"("message":null,"correlation_id":"fallback"},"published_at":"2026-11-23T09:24:01.004200Z",)"
              R"("correlation_id":"fallback","idempotency_key":"fallback"})");
}

TEST(Envelope, IsReadBackAsItWasSealed) {
    const auto envelope = decode_envelope(sealed(R"({"action":"a\r\nb","payload":{"x":[1,2]},"message":"m"})").body);

    ASSERT_TRUE(envelope) << envelope.error().detail;
    EXPECT_EQ(envelope->event_id, "e-1");
    EXPECT_EQ(envelope->board_id, "b1");
    EXPECT_EQ(envelope->message.action, "a\r\nb");
    EXPECT_EQ(envelope->message.payload, R"({"x":[1,2],"message":"m"})");
    EXPECT_EQ(envelope->timestamp, "2026-11-23T09:24:01.004200Z");
    EXPECT_EQ(envelope->correlation_id, "fallback");
    EXPECT_EQ(envelope->idempotency_key, "fallback");
}

TEST(Envelope, IsReadAsPythonWritesIt) {
    const auto envelope = decode_envelope(python_envelope());

    ASSERT_TRUE(envelope) << envelope.error().detail;
    EXPECT_EQ(envelope->board_id, "team board");
    EXPECT_EQ(envelope->message.user, "Ana");
    EXPECT_EQ(envelope->message.payload, R"({"card":1.50,"to":"done","message":"hi"})");
    EXPECT_EQ(envelope->correlation_id, "c-1");
    EXPECT_EQ(envelope->idempotency_key, "k-1");
}

TEST(Envelope, TakesAnyOrderWhiteSpaceAndUnknownMembers) {
    const auto envelope = decode_envelope(
        "\n{ \"idempotency_key\" : \"k\", \"version\" : [2], \"correlation_id\" : \"c\",\r\n \"message\" : { \"x\": "
        "{},\n"
        "\"action\" : \"a\" }, \"published_at\" : \"2026-01-02T03:04:05+00:00\", \"board_id\" : \"b\", "
        "\"event_id\":\"e\" }\n");

    ASSERT_TRUE(envelope) << envelope.error().detail;
    EXPECT_EQ(envelope->message.action, "a");
    EXPECT_EQ(envelope->timestamp, "2026-01-02T03:04:05Z");
}

TEST(Envelope, CarriesTheFractionOfASecondAsSent) {
    const auto timestamp = [](const std::string& sent) {
        const auto envelope = decode_envelope(python_envelope("2026-01-02T03:04:05.678901Z", sent));
        return envelope ? envelope->timestamp : envelope.error().detail;
    };

    EXPECT_EQ(timestamp("2026-01-02T03:04:05.678901+00:00"), "2026-01-02T03:04:05.678901Z");
    EXPECT_EQ(timestamp("2026-01-02T03:04:05.1Z"), "2026-01-02T03:04:05.1Z");
    EXPECT_EQ(timestamp("2026-01-02T03:04:05.123456789Z"), "2026-01-02T03:04:05.123456789Z");
    EXPECT_EQ(timestamp("2026-01-02T03:04:05"), "2026-01-02T03:04:05Z");
    EXPECT_EQ(timestamp("2024-02-29T23:59:60Z"), "2024-02-29T23:59:60Z");
}

TEST(Envelope, RefusesTimesThatAreNone) {
    for (const char* sent :
         {"yesterday", "2026-01-02", "2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05.Z", "2026-13-02T03:04:05Z",
          "2026-02-30T03:04:05Z", "2026-01-02T24:04:05Z", "2026-01-02T03:60:05Z", "2026-01-02T03:04:61Z",
          "2026-01-02 03:04:05Z", "20a6-01-02T03:04:05Z", "2026-01-02T03:04:05ZZ", "2026-01-02T03:04:05\\r\\n"}) {
        EXPECT_EQ(problem_of(python_envelope("2026-01-02T03:04:05.678901Z", sent)),
                  "published_at is no ISO 8601 time in UTC")
            << sent;
    }
}

TEST(Envelope, RefusesWhatIsNoEnvelopeAndSaysWhy) {
    EXPECT_EQ(problem_of(""), "the body is empty");
    EXPECT_EQ(problem_of("not json"), "not a JSON object at byte 0");
    EXPECT_EQ(problem_of("[]"), "not a JSON object at byte 0");
    EXPECT_EQ(problem_of("{}"), "event_id is missing");
    EXPECT_EQ(problem_of(R"({"action":"a"})"), "event_id is missing");
    EXPECT_EQ(problem_of("\x80\x04\x95pickle"), "not a JSON object at byte 0");
    EXPECT_EQ(problem_of("{\"event_id\":\"\xFF\"}"), "invalid UTF-8 in the string before at byte 14");
    EXPECT_EQ(problem_of(python_envelope() + "x"),
              "something follows the object at byte " + std::to_string(python_envelope().size()));
}

TEST(Envelope, NamesTheMemberThatIsWrong) {
    EXPECT_EQ(problem_of(python_envelope("\"event_id\"", "\"event\"")), "event_id is missing");
    EXPECT_EQ(problem_of(python_envelope("\"board_id\"", "\"board\"")), "board_id is missing");
    EXPECT_EQ(problem_of(python_envelope("\"team board\"", "null")), "board_id is no string");
    EXPECT_EQ(problem_of(python_envelope("team board", "\\udc00")), "board_id holds half of a surrogate pair");
    EXPECT_EQ(problem_of(python_envelope("\"k-1\"", "1")), "idempotency_key is no string");
    EXPECT_EQ(problem_of(python_envelope("\"c-1\",\"idem", "\"\",\"idem")),
              "correlation_id has 0 bytes, 1 to 256 are allowed");
    EXPECT_EQ(problem_of(python_envelope("\"published_at\"", "\"at\"")), "published_at is missing");
    EXPECT_EQ(problem_of(python_envelope("8b7d", "8b\\n7d")), "event_id holds a control character");
    EXPECT_EQ(problem_of(python_envelope("\"message\":{", "\"text\":{")), "message is missing");
    EXPECT_EQ(problem_of(R"({"event_id":"e","board_id":"b","message":"m","published_at":"2026-01-02T03:04:05Z",)"
                         R"("correlation_id":"c","idempotency_key":"k"})"),
              "message: not a JSON object at byte 0");
    EXPECT_EQ(problem_of(python_envelope("\"action\"", "\"act\"")), "message.action: Field required");
    EXPECT_EQ(problem_of(python_envelope("\"move\"", "\"boardbus.gap\"")),
              "message.action: Value error, actions that begin with 'boardbus.' are reserved");
}

TEST(Envelope, LimitsTheBoardIdToItsBytes) {
    EXPECT_EQ(problem_of(python_envelope("team board", std::string(256, 'b'))), "accepted");
    EXPECT_EQ(problem_of(python_envelope("team board", std::string(257, 'b'))),
              "board_id has 257 bytes, 1 to 256 are allowed");
    EXPECT_EQ(problem_of(python_envelope("team board", "")), "board_id has 0 bytes, 1 to 256 are allowed");
}

TEST(Envelope, IsAtMostFourTimesAsLongAsItsMessage) {
    std::string text = R"({"action":"a","message":")";
    for (int i = 0; i < 10'000; ++i) {
        text += "\xE2\x80\xA8";
    }
    text += "\"}";
    const std::size_t bytes = sealed(text).body.size();

    EXPECT_GT(bytes, 4 * 10'000 * 3);
    EXPECT_LE(bytes, 4 * text.size() + 2048);
}

TEST(Envelope, HoldsTheDeepestMessageThatIsAccepted) {
    std::string payload;
    for (int i = 0; i < 127; ++i) {
        payload += "{\"a\":";
    }
    payload += "1" + std::string(127, '}');

    EXPECT_EQ(problem_of(sealed(R"({"action":"a","payload":)" + payload + "}").body), "accepted");
    EXPECT_EQ(problem_of("{\"event_id\":" + std::string(10'000, '[')), "nesting too deep at byte 140");
}

}  // namespace
}  // namespace boardbus::board
