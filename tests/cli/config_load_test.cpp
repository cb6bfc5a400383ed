// SPDX-License-Identifier: Apache-2.0
#include "cli/config_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Result<LoadedConfig> load(Variables environment, Command command = Command::worker) {
    return load_config({.env_file = {}, .environment = std::move(environment), .flags = {}}, command);
}

std::string error_of(const std::string& name, const std::string& value) {
    const auto loaded = load({{"ADVANCED_" + name, value}});
    return loaded ? "(accepted)" : loaded.error().detail;
}

TEST(Config, LaterLayersWin) {
    ConfigSources sources;
    sources.env_file = {{"ADVANCED_APP_PORT", "1"}, {"ADVANCED_WORKER_PORT", "1"}, {"ADVANCED_PUBLISH_WINDOW", "1"}};
    sources.environment = {{"ADVANCED_APP_PORT", "2"}, {"ADVANCED_WORKER_PORT", "2"}};
    sources.flags = {{"ADVANCED_APP_PORT", "3"}};

    const auto loaded = load_config(sources, Command::app);

    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->config.web.port, 3);
    EXPECT_EQ(loaded->config.worker.port, 2);
    EXPECT_EQ(loaded->config.publish.window, 1U);
    EXPECT_EQ(loaded->config.rabbitmq.prefetch, 256);
    std::set<std::string> found;
    for (const auto& setting : loaded->settings) {
        found.insert(std::string(setting.option->name) + " " + name_of(setting.source));
    }
    EXPECT_THAT(found, Contains("APP_PORT flag"));
    EXPECT_THAT(found, Contains("WORKER_PORT environment"));
    EXPECT_THAT(found, Contains("PUBLISH_WINDOW env file"));
    EXPECT_THAT(found, Contains("RABBITMQ_PREFETCH_COUNT default"));
}

TEST(Config, TheDefaultsAreThoseOfTheDocumentation) {
    const auto loaded = load({});

    ASSERT_TRUE(loaded) << loaded.error().detail;
    const auto& config = loaded->config;
    EXPECT_EQ(config.rabbitmq.urls.size(), 1U);
    EXPECT_EQ(config.rabbitmq.urls[0].endpoint.port, 5672);
    EXPECT_EQ(config.rabbitmq.retry.delay_first, 5s);
    EXPECT_EQ(config.rabbitmq.retry.retries_max, 5);
    EXPECT_EQ(config.rabbitmq.topology.retries_max, 5);
    EXPECT_EQ(config.rabbitmq.topology.retry.queue, "advanced.board.events.retry");
    EXPECT_EQ(config.rabbitmq.topology.dlq.routing_key, "boards.activity.dlq");
    EXPECT_EQ(config.redis.url.db, 2);
    EXPECT_EQ(config.redis.activity_channel, "advanced:activity");
    EXPECT_EQ(config.worker.port, 8005);
    EXPECT_EQ(config.publish.timeout, 5s);
    EXPECT_EQ(config.history.ttl, 24h);
    EXPECT_FALSE(config.telemetry.log_format);
    EXPECT_THAT(loaded->warnings, IsEmpty());
}

// The web's own defaults serve its tests; they must not say anything else than the table.
TEST(Config, TheTableAndTheWebOptionsAgree) {
    const auto loaded = load({});
    const web::Options own;

    ASSERT_TRUE(loaded);
    const auto& web = loaded->config.web;
    EXPECT_EQ(web.host, own.host);
    EXPECT_EQ(web.port, own.port);
    EXPECT_EQ(web.project_name, own.project_name);
    EXPECT_EQ(web.token, own.token);
    EXPECT_EQ(web.max_connections, own.max_connections);
    EXPECT_EQ(web.max_message_bytes, own.max_message_bytes);
    EXPECT_EQ(web.message_rate_limit, own.message_rate_limit);
    EXPECT_EQ(web.sse_heartbeat, own.sse_heartbeat);
    EXPECT_EQ(web.ping_interval, own.ping_interval);
    EXPECT_EQ(web.slow_consumer_bytes, own.slow_consumer_bytes);
    EXPECT_EQ(web.slow_consumer_total_bytes, own.slow_consumer_total_bytes);
    EXPECT_EQ(web.default_rate_limit, own.default_rate_limit);
    EXPECT_EQ(web.stream_rate_limit, own.stream_rate_limit);
    EXPECT_EQ(web.cors.allowed_origins, own.cors.allowed_origins);
    EXPECT_EQ(web.cors.allow_methods, own.cors.allow_methods);
    EXPECT_EQ(web.cors.allow_headers, own.cors.allow_headers);
    EXPECT_EQ(web.cors.expose_headers, own.cors.expose_headers);
    EXPECT_EQ(web.cors.max_age, own.cors.max_age);
    EXPECT_EQ(web.security.content_security_policy, own.security.content_security_policy);
    EXPECT_EQ(web.security.strict_transport_security, own.security.strict_transport_security);
    EXPECT_EQ(web.security.permissions_policy, own.security.permissions_policy);
    EXPECT_EQ(web.reconnect_initial_delay, own.reconnect_initial_delay);
    EXPECT_EQ(web.reconnect_max_delay, own.reconnect_max_delay);
    EXPECT_EQ(web.activity_channel, own.activity_channel);
    EXPECT_EQ(web.board_channel, own.board_channel);
    EXPECT_EQ(web.metrics_path, own.metrics_path);
}

TEST(Config, ReadsEveryKindOfValue) {
    const auto loaded = load({{"ADVANCED_EVENT_TRANSPORT", "memory"},
                              {"ADVANCED_TELEMETRY_ENABLED", "OFF"},
                              {"ADVANCED_WORKER_PAUSE_ON_OUTAGE", "no"},
                              {"ADVANCED_CORS_ALLOW_CREDENTIALS", "1"},
                              {"ADVANCED_RECONNECT_INITIAL_DELAY_SECONDS", "0.25"},
                              {"ADVANCED_ALLOWED_ORIGINS", R"(["https://A.example/", "http://[::1]:81"])"},
                              {"ADVANCED_CORS_ALLOW_METHODS", " GET , POST,, "},
                              {"ADVANCED_RATE_LIMIT_DEFAULT", ""},
                              {"ADVANCED_WEBSOCKET_MESSAGE_RATE_LIMIT", "600/minute"},
                              {"ADVANCED_RABBITMQ_URL", "amqp://a:b@one/,amqps://a:b@two/v"},
                              {"ADVANCED_TRUSTED_PROXIES", "10.0.0.0/8, ::1"},
                              {"ADVANCED_RABBITMQ_QUEUE_TYPE", "classic"},
                              {"ADVANCED_LOG_FORMAT", "json"},
                              {"ADVANCED_CONTENT_SECURITY_POLICY", ""}});

    ASSERT_TRUE(loaded) << loaded.error().detail;
    const auto& config = loaded->config;
    EXPECT_EQ(config.event_transport, EventTransport::memory);
    EXPECT_FALSE(config.web.telemetry_enabled);
    EXPECT_FALSE(config.worker.pause_on_outage);
    EXPECT_TRUE(config.web.cors.allow_credentials);
    EXPECT_EQ(config.web.reconnect_initial_delay, 250ms);
    EXPECT_THAT(config.web.cors.allowed_origins, ElementsAre("https://a.example", "http://[::1]:81"));
    EXPECT_THAT(config.web.cors.allow_methods, ElementsAre("GET", "POST"));
    EXPECT_FALSE(config.web.default_rate_limit);
    EXPECT_EQ(config.web.message_rate_limit, (web::RateLimit{600, 60s}));
    ASSERT_EQ(config.rabbitmq.urls.size(), 2U);
    EXPECT_EQ(config.rabbitmq.urls[1].vhost, "v");
    EXPECT_EQ(config.web.trusted_proxies.size(), 2U);
    EXPECT_EQ(config.rabbitmq.topology.queue_type, board::QueueType::classic);
    EXPECT_EQ(config.telemetry.log_format, telemetry::LogFormat::json);
    EXPECT_EQ(config.web.security.content_security_policy, "");
}

TEST(Config, ABadValueIsOneLineWithNameValueAndWhatIsAllowed) {
    EXPECT_EQ(error_of("APP_PORT", "banana"),
              R"(ADVANCED_APP_PORT="banana" (environment): allowed: an integer from 0 to 65535)");
    EXPECT_EQ(error_of("THREADS", "a\nb"),
              R"(ADVANCED_THREADS="a\nb" (environment): allowed: an integer from 1 to 256, or blank (one per core))");
    EXPECT_EQ(error_of("LANES", "0"), R"(ADVANCED_LANES="0" (environment): allowed: an integer from 1 to 64)");
}

struct Bad {
    const char* name;
    const char* value;
};

class BadValue : public testing::TestWithParam<Bad> {};

TEST_P(BadValue, StopsTheStart) {
    const auto error = error_of(GetParam().name, GetParam().value);

    EXPECT_THAT(error, testing::StartsWith(std::string("ADVANCED_") + GetParam().name + "=\""));
    EXPECT_THAT(error, HasSubstr("allowed: "));
    EXPECT_THAT(error, Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(Integers, BadValue,
                         testing::Values(Bad{"APP_PORT", ""}, Bad{"APP_PORT", "65536"}, Bad{"APP_PORT", "-1"},
                                         Bad{"APP_PORT", "80x"}, Bad{"APP_PORT", "8e3"},
                                         Bad{"APP_PORT", "99999999999999999999"}, Bad{"RABBITMQ_PREFETCH_COUNT", "0"},
                                         Bad{"RABBITMQ_MAX_RETRIES", "21"}, Bad{"SSE_HEARTBEAT_SECONDS", "0"},
                                         Bad{"REDIS_IDEMPOTENCY_TTL_SECONDS", "0"}, Bad{"THREADS", "0"},
                                         Bad{"WEBSOCKET_MAX_MESSAGE_BYTES", "99999999"}));
INSTANTIATE_TEST_SUITE_P(
    Words, BadValue,
    testing::Values(Bad{"EVENT_TRANSPORT", "kafka"}, Bad{"EVENT_TRANSPORT", ""}, Bad{"LOG_LEVEL", "trace"},
                    Bad{"TELEMETRY_ENABLED", "maybe"}, Bad{"TELEMETRY_ENABLED", "2"}, Bad{"LOG_FORMAT", "xml"},
                    Bad{"RABBITMQ_QUEUE_TYPE", "stream"}, Bad{"RECONNECT_INITIAL_DELAY_SECONDS", "nan"},
                    Bad{"RECONNECT_INITIAL_DELAY_SECONDS", "inf"}, Bad{"RECONNECT_INITIAL_DELAY_SECONDS", "0"},
                    Bad{"RECONNECT_INITIAL_DELAY_SECONDS", "1,5"}, Bad{"RECONNECT_INITIAL_DELAY_SECONDS", ""}));
INSTANTIATE_TEST_SUITE_P(Texts, BadValue,
                         testing::Values(Bad{"APP_HOST", "a b"}, Bad{"REALTIME_TOKEN", ""},
                                         Bad{"REALTIME_TOKEN", "two words"}, Bad{"RABBITMQ_QUEUE", ""},
                                         Bad{"RABBITMQ_QUEUE", "a\x01"}, Bad{"PROJECT_NAME", "\xff"},
                                         Bad{"X_FRAME_OPTIONS", "DENY\r\nX-Evil: 1"}, Bad{"METRICS_PATH", "metrics"},
                                         Bad{"METRICS_PATH", "/healthz"}, Bad{"METRICS_PATH", "/ws/boards/x"},
                                         Bad{"METRICS_PATH", "/a?b"}, Bad{"REDIS_CA_FILE", "/nonexistent/ca.pem"},
                                         Bad{"REDIS_CA_FILE", "/tmp"}));
INSTANTIATE_TEST_SUITE_P(Lists, BadValue,
                         testing::Values(Bad{"ALLOWED_ORIGINS", "*"}, Bad{"ALLOWED_ORIGINS", "https://*.example"},
                                         Bad{"ALLOWED_ORIGINS", R"(["*"])"}, Bad{"ALLOWED_ORIGINS", "board.example"},
                                         Bad{"ALLOWED_ORIGINS", "https://a/path"}, Bad{"ALLOWED_ORIGINS", "null"},
                                         Bad{"ALLOWED_ORIGINS", "https://u@a"}, Bad{"ALLOWED_ORIGINS", "https://a:0"},
                                         Bad{"ALLOWED_ORIGINS", R"(["https://a")"}, Bad{"ALLOWED_ORIGINS", "[1]"},
                                         Bad{"ALLOWED_ORIGINS", R"(["https://a"] x)"},
                                         Bad{"CORS_ALLOW_METHODS", "GET,P OST"}, Bad{"TRUSTED_PROXIES", "10.0.0.0/33"},
                                         Bad{"TRUSTED_PROXIES", "proxy"}, Bad{"RATE_LIMIT_DEFAULT", "many"}));
INSTANTIATE_TEST_SUITE_P(Urls, BadValue,
                         testing::Values(Bad{"RABBITMQ_URL", ""}, Bad{"RABBITMQ_URL", "http://h/"},
                                         Bad{"RABBITMQ_URL", "amqp://h:0/"}, Bad{"REDIS_URL", "h:6379"},
                                         Bad{"REDIS_URL", "redis://h/x"}, Bad{"REDIS_URL", ""}));
INSTANTIATE_TEST_SUITE_P(NotBuilt, BadValue,
                         testing::Values(Bad{"LANES", "65"}, Bad{"REDIS_URL", "redis+sentinel://a,b"},
                                         Bad{"RATE_LIMIT_STORAGE_URI", "memcached://h"}));
INSTANTIATE_TEST_SUITE_P(
    Traces, BadValue,
    testing::Values(Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://"}, Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:0"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h/?a=b"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:pass@h"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h/a b"},
                    Bad{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h/a\r\nb"}, Bad{"OTEL_EXPORTER_OTLP_HEADERS", "a"},
                    Bad{"OTEL_EXPORTER_OTLP_HEADERS", "=b"}, Bad{"OTEL_EXPORTER_OTLP_HEADERS", "a b=c"},
                    Bad{"OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0aHost: evil"}, Bad{"OTEL_EXPORTER_OTLP_HEADERS", "a=%4"},
                    Bad{"OTEL_EXPORTER_OTLP_HEADERS", "a=%00"}, Bad{"OTEL_EXPORTER_OTLP_HEADERS", "Content-Length=5"},
                    Bad{"OTEL_EXPORTER_OTLP_HEADERS", "TRANSFER-ENCODING=chunked"}));

TEST(Config, NoSecretIsEverQuoted) {
    for (const auto* url : {"amqp://u:SECRET@h:0/", "u:SECRET@h", "amqps//u:SECRET@h", "amqp://u:x://SECRET@h",
                            R"(["amqp://u:SECRET@h:0"])"}) {
        EXPECT_THAT(error_of("RABBITMQ_URL", url), Not(HasSubstr("SECRET"))) << url;
        EXPECT_THAT(error_of("REDIS_URL", url), Not(HasSubstr("SECRET"))) << url;
    }
    EXPECT_THAT(error_of("REALTIME_TOKEN", "SECRET 2"), Not(HasSubstr("SECRET")));
    EXPECT_THAT(error_of("OTEL_EXPORTER_OTLP_HEADERS", "key SECRET"), Not(HasSubstr("SECRET")));
    EXPECT_THAT(error_of("OTEL_EXPORTER_OTLP_HEADERS", "host=SECRET"), Not(HasSubstr("SECRET")));
    EXPECT_THAT(error_of("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:SECRET@h"), Not(HasSubstr("SECRET")));
}

TEST(Config, ReadsWhereTracesGo) {
    const auto loaded =
        load({{"ADVANCED_OTEL_EXPORTER_OTLP_ENDPOINT", "https://[::1]:4318/otlp%20a/"},
              {"ADVANCED_OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%2Bb%3D+, x-tenant = t=1 "},
              {"ADVANCED_TELEMETRY_SERVICE_NAME", "boards"}});

    ASSERT_TRUE(loaded);
    const auto& telemetry = loaded->config.telemetry;
    ASSERT_TRUE(telemetry.otlp_endpoint);
    EXPECT_EQ(telemetry.otlp_endpoint->endpoint, (transport::Endpoint{.host = "::1", .port = 4318, .tls = true}));
    EXPECT_EQ(telemetry.otlp_endpoint->path, "/otlp%20a/");
    EXPECT_THAT(telemetry.otlp_headers,
                ElementsAre(std::pair("authorization", "Bearer a+b=+"), std::pair("x-tenant", "t=1")));
    EXPECT_EQ(telemetry.service_name, "boards");
    EXPECT_THAT(loaded->warnings, IsEmpty());
}

TEST(Config, WithoutAnEndpointThereAreNoTraces) {
    EXPECT_FALSE(load({})->config.telemetry.otlp_endpoint);
    EXPECT_FALSE(load({{"ADVANCED_OTEL_EXPORTER_OTLP_ENDPOINT", " "}})->config.telemetry.otlp_endpoint);
}

TEST(Config, WhatContradictsItselfIsRefused) {
    const auto delays = load({{"ADVANCED_RECONNECT_INITIAL_DELAY_SECONDS", "20"}});
    const auto key = load({{"ADVANCED_REDIS_CERT_FILE", "/proc/self/status"}});
    const auto no_url = load({{"ADVANCED_RABBITMQ_URL", "[]"}});

    ASSERT_FALSE(delays);
    EXPECT_THAT(delays.error().detail, HasSubstr("ADVANCED_RECONNECT_MAX_DELAY_SECONDS"));
    ASSERT_FALSE(key);
    EXPECT_THAT(key.error().detail, HasSubstr("both or none"));
    ASSERT_FALSE(no_url);
}

TEST(Config, NamesThatWouldChooseASlotOfTheirOwnAreRefusedInACluster) {
    for (const char* name : {"ADVANCED_ACTIVITY_CHANNEL", "ADVANCED_REDIS_IDEMPOTENCY_PREFIX"}) {
        EXPECT_TRUE(load({{name, "a{b}"}})) << name;
        const auto refused = load({{name, "a{b}"}, {"ADVANCED_REDIS_URL", "redis+cluster://a,b"}});
        ASSERT_FALSE(refused) << name;
        EXPECT_THAT(refused.error().detail, HasSubstr(name));
    }
    EXPECT_TRUE(load({{"ADVANCED_REDIS_URL", "redis+cluster://a,b"}}));
}

TEST(Config, AnUnknownVariableWarnsWithTheNearestName) {
    const auto loaded =
        load({{"ADVANCED_APP_PROT", "SECRET"}, {"ADVANCED_\n" + std::string(9999, 'x'), "1"}, {"HOME", "/"}});

    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->warnings.size(), 2U);
    EXPECT_THAT(
        loaded->warnings,
        Contains("unknown variable ADVANCED_APP_PROT (environment) is ignored; the nearest name is ADVANCED_APP_PORT"));
    EXPECT_THAT(loaded->warnings, Not(Contains(HasSubstr("\n"))));
}

TEST(Config, TheDefaultTokenWarnsTheAppOnly) {
    EXPECT_THAT(load({}, Command::app)->warnings, ElementsAre(HasSubstr("ADVANCED_REALTIME_TOKEN")));
    EXPECT_THAT(load({}, Command::worker)->warnings, IsEmpty());
    EXPECT_THAT(load({{"ADVANCED_REALTIME_TOKEN", "own"}}, Command::app)->warnings, IsEmpty());
}

TEST(Config, TheLifeOfKeysFollowsTheRetriesUnlessSet) {
    // 2 × (5 + 10 + 20 + 40 + 80) s + 120 s.
    EXPECT_EQ(load({})->config.redis.idempotency_ttl, 430s);
    EXPECT_EQ(load({{"ADVANCED_RABBITMQ_MAX_RETRIES", "0"}})->config.redis.idempotency_ttl, 300s);

    const auto too_short = load({{"ADVANCED_REDIS_IDEMPOTENCY_TTL_SECONDS", "429"}});
    EXPECT_EQ(too_short->config.redis.idempotency_ttl, 429s);
    EXPECT_THAT(too_short->warnings, ElementsAre(HasSubstr("retry horizon of 430 s")));
    EXPECT_THAT(load({{"ADVANCED_REDIS_IDEMPOTENCY_TTL_SECONDS", "430"}})->warnings, IsEmpty());
}

}  // namespace
}  // namespace boardbus::cli
