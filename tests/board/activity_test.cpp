// SPDX-License-Identifier: Apache-2.0
#include "board/activity.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace boardbus::board {
namespace {

Envelope some_envelope() {
    return {.event_id = "e-1",
            .board_id = "b\"1",
            .message = {.action = "say\r\n",
                        .user = "Zoë",
                        .payload = R"({"n":1.50})",
                        .message = std::nullopt,
                        .correlation_id = std::nullopt},
            .timestamp = "2026-01-02T03:04:05.6Z",
            .correlation_id = "c-1",
            .idempotency_key = "c-1"};
}

/// The event with `count` filled in, as an app sends it; or what is wrong.
std::string delivered(std::string_view text, const std::string& count = "42") {
    const auto view = parse_activity(text);
    return view ? std::string(view->before_count()) + count + std::string(view->after_count()) : view.error().detail;
}

TEST(EncodeActivity, WritesTheEvent) {
    EXPECT_EQ(encode_activity(some_envelope()),
              R"({"id":"e-1","board":"b\"1","action":"say\r\n","user":"Zoë","payload":{"n":1.50},)"
              R"("timestamp":"2026-01-02T03:04:05.6Z","correlation_id":"c-1","kind":"board_event",)"
              R"("active_connections":0})");
}

TEST(ParseActivity, ReadsOurOwnEvent) {
    const auto view = parse_activity(encode_activity(some_envelope()));

    ASSERT_TRUE(view) << view.error().detail;
    EXPECT_EQ(view->id, "e-1");
    EXPECT_EQ(view->board, "b\"1");
    EXPECT_EQ(view->action, "say\r\n");
    EXPECT_EQ(view->json.substr(view->count_at, view->count_length), "0");
    EXPECT_TRUE(view->after_count() == "}");
}

TEST(ParseActivity, KeepsExtraMembersAndOrderAsTheyCame) {
    EXPECT_EQ(
        delivered(R"({"active_connections":17,"seq":9007199254740993,"cursor":"x","action":"a","board":"b","id":"i"})"),
        R"({"active_connections":42,"seq":9007199254740993,"cursor":"x","action":"a","board":"b","id":"i"})");
    EXPECT_EQ(delivered(R"({"id": "i", "board": "b", "action": "a", "active_connections": null, "z": 1})"),
              R"({"id": "i", "board": "b", "action": "a", "active_connections": 42, "z": 1})");
}

TEST(PlaceActivity, IsWhatParseActivityReads) {
    const Position position{.epoch = "0123456789abcdef", .pos = 7, .seq = 3};
    const std::string json = place_activity(encode_activity(some_envelope()), position, "e-1");

    EXPECT_TRUE(json.ends_with(R"("active_connections":0,"epoch":"0123456789abcdef","pos":7,"seq":3,)"
                               R"("cursor":"0123456789abcdef.7.3.)" +
                               event_hash_text("e-1") + "\"}"))
        << json;
    const auto view = parse_activity(json);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->position, position);
    EXPECT_EQ(view->cursor, encode_cursor({position, event_hash("e-1")}));
}

TEST(PlacedView, IsWhatReadingThePlacedEventGives) {
    const Envelope envelope = some_envelope();
    CommitRequest request{.event_id = envelope.event_id,
                          .board_id = envelope.board_id,
                          .action = envelope.message.action,
                          .activity = encode_activity(envelope),
                          .published_at = *parse_iso_8601(envelope.timestamp)};
    const Position position{.epoch = "00000000000000aa", .pos = 4711, .seq = 12};
    const std::string foreign =
        R"({"id":"e-1","board":"b\"1","action":"say\r\n","timestamp":"2026-01-02T03:04:05.6Z"})";
    for (const std::string& activity : {request.activity, foreign}) {
        request.activity = activity;
        const auto view = placed_view(request, position);
        const auto read = parse_activity(place_activity(activity, position, request.event_id));
        ASSERT_TRUE(view && read);
        EXPECT_EQ(view->json, read->json);
        EXPECT_EQ(view->id, read->id);
        EXPECT_EQ(view->board, read->board);
        EXPECT_EQ(view->action, read->action);
        EXPECT_EQ(view->published_at, read->published_at);
        EXPECT_EQ(view->position, read->position);
        EXPECT_EQ(view->cursor, read->cursor);
        EXPECT_EQ(view->before_count(), read->before_count());
        EXPECT_EQ(view->after_count(), read->after_count());
    }
    request.activity = "{";
    EXPECT_FALSE(placed_view(request, position));
}

TEST(ParseActivity, ReadsAPositionOnlyWhenAllOfItIsThereAndRight) {
    const std::string hash = event_hash_text("i");
    const auto placed = [&](const std::string& members) {
        const auto view = parse_activity(R"({"id":"i","board":"b","action":"a",)" + members + "}");
        return view && view->position && !view->cursor.empty();
    };
    const std::string cursor = R"(,"cursor":"e.7.3.)" + hash + "\"";

    EXPECT_TRUE(placed(R"("epoch":"e","pos":7,"seq":3)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":7)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":7,"seq":3)"));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":"7","seq":3)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":7.0,"seq":3)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":-7,"seq":3)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":5,"pos":7,"seq":3)" + cursor));
    EXPECT_FALSE(placed(R"("epoch":"e","pos":8,"seq":3)" + cursor)) << "the cursor says otherwise";
    EXPECT_FALSE(placed(R"("epoch":"e","pos":7,"seq":3,"cursor":"e.7.3.00000000")")) << "of another event";
    EXPECT_FALSE(placed(R"("epoch":"e","pos":0,"seq":3,"cursor":"e.0.3.)" + hash + "\""));
}

TEST(ParseActivity, AddsTheCountWhenItIsMissing) {
    EXPECT_EQ(delivered(R"({"id":"i","board":"b","action":"a"} )"),
              R"({"id":"i","board":"b","action":"a","active_connections":42} )");
    EXPECT_EQ(delivered(R"({"id":"i","board":"b","action":"a","payload":{"active_connections":1}})"),
              R"({"id":"i","board":"b","action":"a","payload":{"active_connections":1},"active_connections":42})");
}

TEST(ParseActivity, PutsTheEventOnOneLine) {
    EXPECT_EQ(
        delivered(
            "{\n  \"id\": \"i\",\r\n  \"board\": \"b \",\n \"action\": \"a\\n\",\n \"active_connections\": 0\n}\n"),
        R"({"id":"i","board":"b ","action":"a\n","active_connections":42})");
    EXPECT_EQ(delivered("{\"id\":\"i\",\"board\":\"b\",\r\"action\":\"a\"}"),
              R"({"id":"i","board":"b","action":"a","active_connections":42})");
}

TEST(ParseActivity, TakesTheLastOfDuplicates) {
    const auto view = parse_activity(R"({"id":"1","id":"2","board":"b","action":1,"action":"a","\u0062oard":"c"})");

    ASSERT_TRUE(view) << view.error().detail;
    EXPECT_EQ(view->id, "2");
    EXPECT_EQ(view->board, "c");
    EXPECT_EQ(view->action, "a");
}

TEST(ParseActivity, RefusesWhatCannotBeDelivered) {
    for (const char* text : {"", "hello", "[]", "{}", "{\"id\":\"i\"", "\n{", "\n\"", "{\n\"id\":\"i\\",
                             R"({"id":1,"board":"b","action":"a"})", R"({"id":"i","board":null,"action":"a"})",
                             R"({"id":"i","board":"b"})", R"({"id":"i","board":"b","action":"\ud800"})",
                             "{\"id\":\"\xFF\",\"board\":\"b\",\"action\":\"a\"}"}) {
        EXPECT_FALSE(parse_activity(text)) << text;
    }
}

TEST(ParseActivity, KeepsHalvesOfSurrogatePairsInThePayload) {
    const std::string event = R"({"id":"i","board":"b","action":"a","payload":"\ud800","active_connections":42})";

    EXPECT_EQ(delivered(event), event);
}

TEST(Fingerprint, IsThirtyTwoHexDigitsAndStable) {
    const std::string print = fingerprint(some_envelope());

    EXPECT_EQ(print.size(), 32U);
    EXPECT_EQ(print.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_EQ(print, fingerprint(some_envelope()));
}

TEST(Fingerprint, IsTheHashOfLengthsAndTexts) {
    // python3: hashlib.sha256(b"".join(len(t).to_bytes(8, "little") + t for t in texts) + b"\xff" * 8).hexdigest()[:32]
    EXPECT_EQ(fingerprint(some_envelope()), "2ff2f2e8d8f339a99b0efe1172b7f0a5");
}

TEST(Fingerprint, DependsOnEachPartOfTheContentAndOnNothingElse) {
    const auto changed = [](const std::function<void(Envelope&)>& change) {
        Envelope envelope = some_envelope();
        change(envelope);
        return fingerprint(envelope);
    };
    std::set<std::string> prints{fingerprint(some_envelope())};

    prints.insert(changed([](Envelope& e) { e.board_id = "b2"; }));
    prints.insert(changed([](Envelope& e) { e.message.action += "x"; }));
    prints.insert(changed([](Envelope& e) { e.message.user = "x"; }));
    prints.insert(changed([](Envelope& e) { e.message.payload = R"({"n":1.5})"; }));
    prints.insert(changed([](Envelope& e) { e.message.message = ""; }));
    prints.insert(changed([](Envelope& e) { e.message.message = "x"; }));
    EXPECT_EQ(prints.size(), 7U);

    prints.insert(changed([](Envelope& e) { e.event_id = e.timestamp = e.correlation_id = e.idempotency_key = "x"; }));
    EXPECT_EQ(prints.size(), 7U);
}

TEST(Fingerprint, DoesNotConfuseWhereOnePartEnds) {
    Envelope one = some_envelope();
    Envelope other = some_envelope();
    one.message.action = "ab";
    one.message.user = "c";
    other.message.action = "a";
    other.message.user = "bc";

    EXPECT_NE(fingerprint(one), fingerprint(other));
}

}  // namespace
}  // namespace boardbus::board
