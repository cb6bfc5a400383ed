// SPDX-License-Identifier: Apache-2.0
#include "telemetry/span.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "telemetry/span_buffer.h"

namespace boardbus::telemetry {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

Span example() {
    return {
        .context = {.trace_id = {0x4bf92f3577b34da6, 0xa3ce929d0e0e4736}, .span_id = 0xf067aa0ba902b7, .sampled = true},
        .parent_id = 0x0a0b0c0d0e0f0001,
        .kind = Span::Kind::producer,
        .name = "publish",
        .begun = WallTime(std::chrono::microseconds(1'764'000'000'000'123)),
        .ended = WallTime(std::chrono::microseconds(1'764'000'000'004'567)),
        .attributes = {{"messaging.system", "rabbitmq"}, {"boardbus.attempts", std::int64_t{3}}},
        .failure = {}};
}

std::string encoded(const Span& span) {
    std::string text;
    append_span(text, span);
    return text;
}

TEST(Span, IsEncodedAsOtlpJson) {
    EXPECT_EQ(
        encoded(example()),
        R"({"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","parentSpanId":"0a0b0c0d0e0f0001",)"
        R"("name":"publish","kind":4,"startTimeUnixNano":"1764000000000123000","endTimeUnixNano":"1764000000004567000",)"
        R"("attributes":[{"key":"messaging.system","value":{"stringValue":"rabbitmq"}},)"
        R"({"key":"boardbus.attempts","value":{"intValue":"3"}}]})");
}

TEST(Span, TheFirstOfItsTraceHasNoParent) {
    Span span = example();
    span.parent_id = 0;
    span.attributes.clear();

    EXPECT_THAT(encoded(span), Not(HasSubstr("parentSpanId")));
    EXPECT_THAT(encoded(span), EndsWith(R"("attributes":[]})"));
}

TEST(Span, AFailureIsItsStatus) {
    Span span = example();
    span.failure = "not \"connected\"";

    EXPECT_THAT(encoded(span), EndsWith(R"(,"status":{"code":2,"message":"not \"connected\""}})"));
}

TEST(Span, NeverEndsBeforeItBegins) {
    Span span = example();
    span.ended = span.begun - std::chrono::seconds(5);

    EXPECT_THAT(encoded(span), HasSubstr(R"("endTimeUnixNano":"1764000000000123000")"));
}

TEST(Span, TextFromOutsideStaysInsideItsQuotesAndItsBound) {
    Span span = example();
    span.attributes = {{"a", std::string("\"\\\n\x01\xff")}, {"b", std::string(255, 'x') + "\xe2\x82\xac"}};

    EXPECT_THAT(encoded(span), HasSubstr(R"("stringValue":"\"\\\n\u0001\ufffd")"));
    // The cut at 256 bytes would go through the last character, which is left out as a whole.
    EXPECT_THAT(encoded(span), HasSubstr(":\"" + std::string(255, 'x') + "\"}"));
}

TEST(Span, ARequestNamesItsSource) {
    const TraceSource source{
        .service_name = "my \"service\"", .version = "1.2.3", .command = "app", .instance_id = "id"};

    EXPECT_EQ(
        request_head(source) + std::string(kRequestTail),
        R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my \"service\""}},)"
        R"({"key":"service.version","value":{"stringValue":"1.2.3"}},{"key":"service.instance.id","value":{"stringValue":"id"}},)"
        R"({"key":"boardbus.command","value":{"stringValue":"app"}}]},)"
        R"("scopeSpans":[{"scope":{"name":"boardbus","version":"1.2.3"},"spans":[]}]}]})");
}

TEST(SpanBuffer, GivesTheOldestFirst) {
    SpanBuffer buffer;
    Span span = example();
    span.name = "one";
    buffer.push(span);
    span.name = "two";
    buffer.push(span);
    span.name = "three";
    buffer.push(span);

    const auto first = buffer.take(2);
    const auto rest = buffer.take(2);

    EXPECT_EQ(first.count, 2U);
    EXPECT_THAT(first.spans, testing::ContainsRegex(R"("one".*\]\},\{.*"two")"));
    EXPECT_EQ(rest.count, 1U);
    EXPECT_THAT(rest.spans, HasSubstr(R"("three")"));
    EXPECT_EQ(buffer.take(1).count, 0U);
}

TEST(SpanBuffer, DropsAndCountsWhatFindsItFull) {
    int heard = 0;
    SpanBuffer buffer(2, [&heard] { ++heard; });

    for (int i = 0; i < 5; ++i) {
        buffer.push(example());
    }

    EXPECT_EQ(buffer.size(), 2U);
    EXPECT_EQ(buffer.take_dropped(), 3U);
    EXPECT_EQ(buffer.take_dropped(), 0U);
    EXPECT_EQ(heard, 5);
}

}  // namespace
}  // namespace boardbus::telemetry
