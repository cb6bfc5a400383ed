// SPDX-License-Identifier: Apache-2.0
#include "board/message.h"

#include <gtest/gtest.h>

namespace boardbus::board {
namespace {

BoardMessage accepted(std::string_view text) {
    auto message = parse_board_message(text);
    EXPECT_TRUE(message) << text << ": " << message.error().problem;
    return message ? *message : BoardMessage{};
}

/// "loc:type loc:type", or "invalid_json", or "accepted".
std::string outcome(std::string_view text) {
    const auto message = parse_board_message(text);
    if (message) {
        return "accepted";
    }
    std::string types;
    for (const ValidationError& error : message.error().errors) {
        types += (types.empty() ? "" : " ") + std::string(error.loc) + ":" + std::string(error.type);
    }
    EXPECT_FALSE(message.error().problem.empty());
    return types.empty() ? std::string(message.error().reason()) : types;
}

std::string payload_with_levels(int levels) {
    std::string text;
    for (int i = 0; i < levels; ++i) {
        text += "{\"a\":";
    }
    return text + "1" + std::string(static_cast<std::size_t>(levels), '}');
}

TEST(BoardMessage, FillsInDefaults) {
    const BoardMessage message = accepted(R"({"action":"move"})");

    EXPECT_EQ(message.action, "move");
    EXPECT_EQ(message.user, "anonymous");
    EXPECT_EQ(message.payload, "{}");
    EXPECT_EQ(message.message, std::nullopt);
    EXPECT_EQ(message.correlation_id, std::nullopt);
}

TEST(BoardMessage, ReadsAllMembersInAnyOrder) {
    const BoardMessage message = accepted(
        R"({"correlation_id":"c-1","message":"hi","user":" Zo\u00eb ","payload":{"card": 7},"action":"a\u0062"})");

    EXPECT_EQ(message.action, "ab");
    EXPECT_EQ(message.user, "Zoë");
    EXPECT_EQ(message.payload, R"({"card":7,"message":"hi"})");
    EXPECT_EQ(message.message, "hi");
    EXPECT_EQ(message.correlation_id, "c-1");
}

TEST(BoardMessage, CarriesThePayloadTokenForToken) {
    const BoardMessage message =
        accepted(R"({"action":"a","payload":{ "n" : 9007199254740993 , "pi": 3.14159265358979323846264338327950288,)"
                 R"( "e": 1E+400, "z": -0.0, "s": " \u00e9 \/ \ud800 ", "n": [ ] }})");

    EXPECT_EQ(message.payload, R"({"n":9007199254740993,"pi":3.14159265358979323846264338327950288,)"
                               R"("e":1E+400,"z":-0.0,"s":" \u00e9 \/ \ud800 ","n":[]})");
}

TEST(BoardMessage, AddsTheTextToThePayloadOnlyWhenItIsNotThere) {
    EXPECT_EQ(accepted(R"({"action":"a","message":"x\ny"})").payload, R"({"message":"x\ny"})");
    EXPECT_EQ(accepted(R"({"action":"a","message":"x","payload":{ }})").payload, R"({"message":"x"})");
    EXPECT_EQ(accepted(R"({"action":"a","message":"x","payload":{"message":null}})").payload, R"({"message":null})");
    EXPECT_EQ(accepted(R"({"action":"a","message":"x","payload":{"m\u0065ssage":1}})").payload,
              R"({"m\u0065ssage":1})");
    EXPECT_EQ(accepted(R"({"action":"a","message":"x","payload":{"b":{"message":1}}})").payload,
              R"({"b":{"message":1},"message":"x"})");
    EXPECT_EQ(accepted(R"({"action":"a","message":""})").payload, "{}");
    EXPECT_EQ(accepted(R"({"action":"a","message":null})").payload, "{}");
}

TEST(BoardMessage, TrimsTheUserLikePython) {
    EXPECT_EQ(accepted(R"({"action":"a","user":""})").user, "anonymous");
    EXPECT_EQ(accepted(R"({"action":"a","user":" \t\n\u001c\u001f\u0085\u00a0\u1680\u2000\u200a\u2028\u3000 "})").user,
              "anonymous");
    EXPECT_EQ(accepted(R"({"action":"a","user":"\u3000 b c \u205f\u202f"})").user, "b c");
    EXPECT_EQ(accepted(R"({"action":"a","user":"\u200bb\u200b"})").user, "\u200bb\u200b");
    EXPECT_EQ(accepted(R"({"action":"a","user":"\u0000"})").user, std::string(1, '\0'));
}

TEST(BoardMessage, TakesTheLastOfDuplicateMembers) {
    const BoardMessage message = accepted(R"({"action":1,"user":null,"action":"b","user":"u","\u0061ction":"c"})");

    EXPECT_EQ(message.action, "c");
    EXPECT_EQ(message.user, "u");
    EXPECT_EQ(outcome(R"({"action":"a","action":1})"), "action:string_type");
}

TEST(BoardMessage, IgnoresUnknownMembers) {
    EXPECT_EQ(outcome(R"({"action":"a","op":"subscribe","board":"x","Action":1,"x":[{"action":1}]})"), "accepted");
}

TEST(BoardMessage, KeepsBlanksAndLineEndsInTheAction) {
    EXPECT_EQ(accepted(R"({"action":" "})").action, " ");
    EXPECT_EQ(accepted(R"({"action":"a\r\n\u0000b"})").action, std::string("a\r\n\0b", 5));
}

TEST(BoardMessage, TreatsAnEmptyCorrelationIdAsNone) {
    EXPECT_EQ(accepted(R"({"action":"a","correlation_id":""})").correlation_id, std::nullopt);
    EXPECT_EQ(accepted(R"({"action":"a","correlation_id":null})").correlation_id, std::nullopt);
}

TEST(BoardMessage, LimitsTheCorrelationIdInBytes) {
    const auto with = [](const std::string& id) { return R"({"action":"a","correlation_id":")" + id + "\"}"; };

    EXPECT_EQ(outcome(with(std::string(256, 'x'))), "accepted");
    EXPECT_EQ(outcome(with(std::string(257, 'x'))), "correlation_id:string_too_long");
    EXPECT_EQ(outcome(with(std::string(254, 'x') + "€")), "correlation_id:string_too_long");
}

TEST(BoardMessage, RefusesWrongTypes) {
    EXPECT_EQ(outcome("{}"), "action:missing");
    EXPECT_EQ(outcome(R"({"action":null})"), "action:string_type");
    EXPECT_EQ(outcome(R"({"action":""})"), "action:string_too_short");
    EXPECT_EQ(outcome(R"({"action":"a","payload":null})"), "payload:dict_type");
    EXPECT_EQ(outcome(R"({"action":"a","payload":[]})"), "payload:dict_type");
    EXPECT_EQ(outcome(R"({"action":"a","payload":"{}"})"), "payload:dict_type");
    EXPECT_EQ(outcome(R"({"action":"a","user":null})"), "user:string_type");
    EXPECT_EQ(outcome(R"({"action":"a","message":1})"), "message:string_type");
    EXPECT_EQ(outcome(R"({"action":"a","correlation_id":7})"), "correlation_id:string_type");
}

TEST(BoardMessage, ReportsAllErrorsInTheOrderOfTheFields) {
    EXPECT_EQ(outcome(R"({"correlation_id":7,"message":{},"user":1,"payload":1,"action":true})"),
              "action:string_type payload:dict_type user:string_type message:string_type correlation_id:string_type");
}

TEST(BoardMessage, RefusesHalfASurrogatePairInEveryTextButThePayload) {
    EXPECT_EQ(outcome(R"({"action":"\ud800","user":"\udc00","message":"a\ud83d","correlation_id":"\udfff"})"),
              "action:string_unicode user:string_unicode message:string_unicode correlation_id:string_unicode");
    EXPECT_EQ(accepted(R"({"action":"a","payload":{"\ud800":"\udc00"}})").payload, R"({"\ud800":"\udc00"})");
}

TEST(BoardMessage, RefusesReservedActions) {
    EXPECT_EQ(outcome(R"({"action":"boardbus.gap"})"), "action:value_error");
    EXPECT_EQ(outcome(R"({"action":"\u0062oardbus."})"), "action:value_error");
    EXPECT_EQ(outcome(R"({"action":"boardbus"})"), "accepted");
    EXPECT_EQ(outcome(R"({"action":"Boardbus.x"})"), "accepted");
}

TEST(BoardMessage, RefusesWhatIsNoObject) {
    for (const char* text : {"", "hello", "[]", "\"action\"", "1", "null", "{", "{'action':'a'}", "{\"action\":\"a\"}}",
                             "{\"action\":\"a\",\"payload\":{\"n\":NaN}}", "{\"action\":\"a\\q\"}",
                             "{\"action\":\"a\xFF\"}", "{\"action\":\"a\",}", "\xEF\xBB\xBF{\"action\":\"a\"}"}) {
        EXPECT_EQ(outcome(text), "invalid_json") << text;
    }
}

TEST(BoardMessage, LimitsNesting) {
    EXPECT_EQ(outcome(R"({"action":"a","payload":)" + payload_with_levels(127) + "}"), "accepted");
    EXPECT_EQ(outcome(R"({"action":"a","payload":)" + payload_with_levels(128) + "}"), "invalid_json");
    EXPECT_EQ(outcome(R"({"action":"a","payload":)" + payload_with_levels(10'000) + "}"), "invalid_json");
    EXPECT_EQ(outcome(R"({"action":"a","x":)" + std::string(10'000, '[')), "invalid_json");
}

TEST(BoardMessage, TakesAMebibyte) {
    const std::string text(1U << 20, 'x');

    EXPECT_EQ(accepted(R"({"action":"a","payload":{"t":")" + text + "\"}}").payload, R"({"t":")" + text + "\"}");
    EXPECT_EQ(accepted(R"({"action":"a","message":")" + text + "\"}").message, text);
}

TEST(ErrorFrame, NamesInvalidJson) {
    EXPECT_EQ(error_frame(parse_board_message("hello").error()),
              R"({"kind":"error","reason":"invalid_json","detail":"Messages must be valid JSON objects."})");
}

TEST(ErrorFrame, ListsValidationErrorsInPydanticsWords) {
    EXPECT_EQ(error_frame(parse_board_message("{}").error()),
              R"({"kind":"error","reason":"validation_error","detail":[{"loc":["action"],"msg":"Field required",)"
              R"("type":"missing"}]})");
    EXPECT_EQ(detail_json(parse_board_message(R"({"action":"","payload":1,"user":1,"message":"\ud800"})").error()),
              R"([{"loc":["action"],"msg":"String should have at least 1 character","type":"string_too_short"},)"
              R"({"loc":["payload"],"msg":"Input should be a valid dictionary","type":"dict_type"},)"
              R"({"loc":["user"],"msg":"Input should be a valid string","type":"string_type"},)"
              R"({"loc":["message"],"msg":"Input should be a valid string, unable to parse raw data as a unicode )"
              R"(string","type":"string_unicode"}])");
}

TEST(ErrorFrame, QuotesItsDetail) {
    EXPECT_EQ(error_frame("event_bus_failure", "queue \"full\"\n"),
              R"({"kind":"error","reason":"event_bus_failure","detail":"queue \"full\"\n"})");
}

}  // namespace
}  // namespace boardbus::board
