// SPDX-License-Identifier: Apache-2.0
#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

namespace boardbus::telemetry {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CountsHttpByRouteMethodAndStatus) {
    Metrics metrics;

    metrics.http_request("/healthz", "GET", 200, 2ms);
    metrics.http_request("/healthz", "GET", 200, 20s);
    metrics.http_request("/healthz", "BREW", 405, 1ms);
    metrics.rate_limited("/sse/activity", "GET");
    const auto text = metrics.expose();

    EXPECT_THAT(
        text,
        HasSubstr(R"(advanced_http_requests_total{http_method="GET",http_route="/healthz",http_status_code="200"} 2)"));
    EXPECT_THAT(
        text,
        HasSubstr(
            R"(advanced_http_requests_total{http_method="OTHER",http_route="/healthz",http_status_code="405"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(http_status_code="200",le="0.0025"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(http_status_code="200",le="+Inf"} 2)"));
    EXPECT_THAT(
        text,
        HasSubstr(R"(advanced_http_rate_limit_rejections_total{http_method="GET",http_route="/sse/activity"} 1)"));
}

TEST(Metrics, NoClientTextBecomesALabel) {
    Metrics metrics;

    metrics.http_request("/", "EVIL\"METHOD", 200, 1ms);
    metrics.dead_letter("whatever the broker said");
    const auto text = metrics.expose();

    EXPECT_THAT(text, Not(HasSubstr("EVIL")));
    EXPECT_THAT(text, Not(HasSubstr("whatever")));
    EXPECT_THAT(text, HasSubstr(R"(advanced_dead_letters_total{reason="other"} 1)"));
}

TEST(Metrics, AMissingConfirmIsAnErrorAndATimeout) {
    Metrics metrics;

    metrics.published(PublishStatus::accepted, 3ms);
    metrics.published(PublishStatus::rejected, 3ms);
    metrics.published(PublishStatus::unknown, 5s);
    const auto text = metrics.expose();

    EXPECT_THAT(text, HasSubstr(R"(advanced_board_events_published_total{status="success"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_board_events_published_total{status="error"} 2)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_board_event_publish_duration_seconds_count{status="error"} 2)"));
    EXPECT_THAT(text, HasSubstr("advanced_board_event_publish_timeouts_total 1"));
}

TEST(Metrics, TheFirstConnectionIsNoReconnect) {
    Metrics metrics;

    metrics.connected(Peer::redis, false);
    metrics.connected(Peer::redis, true);
    metrics.connected(Peer::rabbitmq, true);
    metrics.connected(Peer::rabbitmq, false);
    metrics.connected(Peer::rabbitmq, true);
    const auto text = metrics.expose();

    EXPECT_THAT(text, HasSubstr(R"(advanced_peer_reconnects_total{peer="redis"} 0)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_peer_reconnects_total{peer="rabbitmq"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_peer_connected{peer="rabbitmq"} 1)"));
}

TEST(Metrics, HoldsAreCountedWhenTheyBeginAndShownWhileTheyLast) {
    Metrics metrics;

    metrics.hold(true);
    metrics.hold(true);
    metrics.hold(false);
    const auto text = metrics.expose();

    EXPECT_THAT(text, HasSubstr("advanced_worker_holds_total 2"));
    EXPECT_THAT(text, HasSubstr("advanced_worker_holding 1"));
}

TEST(Metrics, MismatchedQueuesAreShownAndBounded) {
    Metrics metrics;

    metrics.topology_mismatch("advanced.board.events", true);
    for (int i = 0; i < 100; ++i) {
        metrics.topology_mismatch("q" + std::to_string(i), false);
    }
    const auto text = metrics.expose();

    EXPECT_THAT(text, HasSubstr(R"(advanced_topology_mismatch{queue="advanced.board.events"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"({queue="q62"})"));
    EXPECT_THAT(text, Not(HasSubstr(R"({queue="q63"})")));
}

TEST(Metrics, LoopsAreAddedUp) {
    Metrics metrics;
    auto& first = metrics.add_loop();
    auto& second = metrics.add_loop();

    first.websocket.connections.add(3);
    first.websocket.connections.subtract();
    second.websocket.connections.add(5);
    second.sse.deliveries.add(7);
    first.fan_out.observe(50us);
    second.fan_out.observe(51us);
    second.fan_out.observe(20s);
    second.fan_out.observe(-1s);
    const auto text = metrics.expose();

    EXPECT_THAT(text, HasSubstr(R"(advanced_connections{kind="websocket"} 7)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_deliveries_total{kind="sse"} 7)"));
    EXPECT_THAT(text, HasSubstr("advanced_fan_out_duration_seconds_count 4"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_fan_out_duration_seconds_bucket{le="5e-05"} 2)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_fan_out_duration_seconds_bucket{le="0.0001"} 3)"));
    EXPECT_THAT(text, HasSubstr(R"(advanced_fan_out_duration_seconds_bucket{le="5"} 3)"));
    EXPECT_THAT(text, HasSubstr("advanced_fan_out_duration_seconds_sum 20.000101"));
}

TEST(Metrics, ShowsTheProcess) {
    const auto text = Metrics().expose();

    EXPECT_THAT(text, HasSubstr("\nprocess_resident_memory_bytes "));
    EXPECT_THAT(text, HasSubstr("\nprocess_open_fds "));
    EXPECT_THAT(text, HasSubstr("\nprocess_cpu_seconds_total "));
    EXPECT_THAT(text, HasSubstr("\nprocess_start_time_seconds "));
}

// The rules of `promtool check metrics`, so that they hold where it is not installed.
TEST(Metrics, EveryFamilyHasHelpOnceAndCountersEndInTotal) {
    Metrics metrics;
    metrics.add_loop();
    metrics.http_request("/", "GET", 200, 1ms);
    metrics.topology_mismatch("q", true);
    std::istringstream text(metrics.expose());

    std::set<std::string> helped;
    std::set<std::string> typed;
    for (std::string line; std::getline(text, line);) {
        std::istringstream words(line);
        std::string hash, what, name, rest;
        words >> hash >> what >> name;
        std::getline(words >> std::ws, rest);
        if (what == "HELP") {
            EXPECT_TRUE(helped.insert(name).second) << name << " twice";
            EXPECT_FALSE(rest.empty()) << name;
        } else if (what == "TYPE") {
            EXPECT_TRUE(typed.insert(name).second) << name << " twice";
            EXPECT_TRUE(helped.contains(name)) << name;
            EXPECT_EQ(rest == "counter", name.ends_with("_total")) << name;
            if (rest == "histogram" && !name.ends_with("_events")) {
                EXPECT_TRUE(name.ends_with("_seconds")) << name;
            }
        }
    }
    EXPECT_GT(typed.size(), 35U);
}

}  // namespace
}  // namespace boardbus::telemetry
