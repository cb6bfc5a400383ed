// SPDX-License-Identifier: Apache-2.0
#include "base/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace boardbus {
namespace {

constexpr const char* kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, ReadsAndWritesATraceparent) {
    const auto context = parse_traceparent(kExample);

    ASSERT_TRUE(context);
    EXPECT_EQ(context->trace_id[0], 0x4bf92f3577b34da6U);
    EXPECT_EQ(context->trace_id[1], 0xa3ce929d0e0e4736U);
    EXPECT_EQ(context->span_id, 0x00f067aa0ba902b7U);
    EXPECT_TRUE(context->sampled);
    EXPECT_EQ(to_traceparent(*context), kExample);
}

TEST(TraceContext, OnlyTheLastBitOfTheFlagsSaysSampled) {
    const std::string ids = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";

    EXPECT_FALSE(parse_traceparent(ids + "00")->sampled);
    EXPECT_FALSE(parse_traceparent(ids + "fe")->sampled);
    EXPECT_TRUE(parse_traceparent(ids + "ff")->sampled);
}

TEST(TraceContext, RefusesWhatIsNoTraceparent) {
    for (const char* text : {"", "00", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
                             "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                             "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
                             "00-4bf92f3577b34da6a3ce929d0e0e473 -00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-0xf067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736--0f067aa0ba902b7-01"}) {
        EXPECT_FALSE(parse_traceparent(text)) << text;
    }
}

TEST(TraceContext, AChildKeepsTheTraceAndItsSampling) {
    auto parent = parse_traceparent(kExample);
    const TraceContext child = next_span(parent);
    parent->sampled = false;
    const TraceContext unsampled = next_span(parent);

    EXPECT_EQ(child.trace_id, parent->trace_id);
    EXPECT_NE(child.span_id, parent->span_id);
    EXPECT_TRUE(child.sampled);
    EXPECT_FALSE(unsampled.sampled);
}

TEST(TraceContext, WithoutAParentATraceBegins) {
    const TraceContext one = next_span(std::nullopt);
    const TraceContext two = next_span(std::nullopt);

    EXPECT_TRUE(one.sampled);
    EXPECT_NE(one.trace_id, two.trace_id);
    EXPECT_EQ(parse_traceparent(to_traceparent(one)), one);
    EXPECT_FALSE(parse_traceparent(new_traceparent())->sampled);
}

}  // namespace
}  // namespace boardbus
