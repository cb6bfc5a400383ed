// The exporter against a collector that is a socket in the test's hand, both on one loop.
// SPDX-License-Identifier: Apache-2.0
#include "transport/otlp_exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>

#include "transport/listener.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kGood = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

class OtlpExporterTest : public testing::Test {
  protected:
    OtlpOptions options() const {
        return {.endpoint = {.endpoint = listener.endpoint(), .path = "/base"},
                .headers = {{"x-key", "a value"}},
                .tls = {},
                .source = {.service_name = "s", .version = "1", .command = "app", .instance_id = "i"},
                .queue_spans = 8,
                .batch_spans = 4,
                .batch_wait = 20ms,
                .timeout = 2s,
                .pause_initial = 10ms,
                .pause_most = 20ms};
    }

    void begin(OtlpOptions with) { exporter = std::make_unique<OtlpExporter>(loop, metrics, std::move(with)); }

    void push(int count, std::string_view name = "publish") {
        for (int i = 0; i < count; ++i) {
            exporter->spans().push({.context = next_span(std::nullopt), .name = name});
        }
    }

    template <typename Condition>
    bool until(Condition condition) {
        for (int turns = 0; turns < 1000 && !condition(); ++turns) {
            loop.turn(10ms);
        }
        return condition();
    }

    /// What arrives on `client` until it holds a whole request; empty when the connection ended.
    std::string request(const UniqueFd& client) {
        std::string text;
        bool ended = false;
        until([&] {
            std::array<char, 65536> buffer;
            const ssize_t count = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            text.append(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
            ended = count == 0;
            return ended || text.ends_with(telemetry::kRequestTail);
        });
        return ended ? "" : text;
    }

    static void answer(const UniqueFd& client, std::string_view text) {
        EXPECT_EQ(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }

    double metric(const std::string& name) const {
        const std::string text = "\n" + metrics.expose();
        const auto at = text.find("\n" + name + " ");
        EXPECT_NE(at, text.npos) << name;
        return at == text.npos ? -1 : std::stod(text.substr(at + name.size() + 2));
    }
    double exported() const { return metric("advanced_trace_spans_exported_total"); }
    double dropped(const std::string& reason) const {
        return metric("advanced_trace_spans_dropped_total{reason=\"" + reason + "\"}");
    }

    Loop loop;
    telemetry::Metrics metrics;
    Listener listener;
    std::unique_ptr<OtlpExporter> exporter;
};

TEST_F(OtlpExporterTest, PostsABatchWithItsHeaders) {
    begin(options());
    push(1, "publish");
    const UniqueFd client = listener.accept(loop);
    const std::string text = request(client);
    answer(client, kGood);

    EXPECT_THAT(text, StartsWith("POST /base/v1/traces HTTP/1.1\r\nHost: 127.0.0.1:"));
    EXPECT_THAT(text, HasSubstr("\r\nContent-Type: application/json\r\nx-key: a value\r\nContent-Length: "));
    const auto body = text.substr(text.find("\r\n\r\n") + 4);
    EXPECT_THAT(text, HasSubstr("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
    EXPECT_THAT(body, StartsWith(R"({"resourceSpans":[{"resource":)"));
    EXPECT_THAT(body, HasSubstr(R"("spans":[{"traceId":)"));
    EXPECT_TRUE(until([&] { return exported() == 1; }));
}

TEST_F(OtlpExporterTest, KeepsItsConnectionAndFillsItsBatches) {
    begin(options());
    push(6);
    const UniqueFd client = listener.accept(loop);
    const std::string first = request(client);
    answer(client, kGood);
    const std::string second = request(client);
    answer(client, kGood);

    EXPECT_TRUE(until([&] { return exported() == 6; }));
    const auto spans_in = [](const std::string& text) {
        std::size_t count = 0;
        for (auto at = text.find("traceId"); at != text.npos; at = text.find("traceId", at + 1)) {
            ++count;
        }
        return count;
    };
    EXPECT_EQ(spans_in(first), 4U);
    EXPECT_EQ(spans_in(second), 2U);
}

TEST_F(OtlpExporterTest, AConnectionThatEndedMeanwhileCostsNoTry) {
    auto with = options();
    with.tries_max = 1;
    begin(std::move(with));
    push(1);
    UniqueFd client = listener.accept(loop);
    request(client);
    answer(client, kGood);
    EXPECT_TRUE(until([&] { return exported() == 1; }));

    push(4);  // Leaves at once, into a connection that nobody reads any more.
    client.reset();
    const UniqueFd next = listener.accept(loop);
    EXPECT_THAT(request(next), StartsWith("POST "));
    answer(next, kGood);

    EXPECT_TRUE(until([&] { return exported() == 5; }));
}

TEST_F(OtlpExporterTest, TriesABusyCollectorAgainWithTheSameBatch) {
    begin(options());
    push(1);
    const UniqueFd client = listener.accept(loop);
    const std::string first = request(client);
    answer(client, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    const std::string second = request(client);
    answer(client, kGood);

    EXPECT_EQ(first, second);
    EXPECT_TRUE(until([&] { return exported() == 1; }));
}

TEST_F(OtlpExporterTest, GivesUpAfterThreeTries) {
    begin(options());
    push(3);
    const UniqueFd client = listener.accept(loop);
    for (int i = 0; i < 3; ++i) {
        EXPECT_THAT(request(client), StartsWith("POST "));
        answer(client, "HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n");
    }

    EXPECT_TRUE(until([&] { return dropped("unreachable") == 3; }));
    EXPECT_EQ(exported(), 0);
}

TEST_F(OtlpExporterTest, GivesUpAtOnceWhenAnotherTryIsForbidden) {
    begin(options());
    push(2);
    const UniqueFd client = listener.accept(loop);
    request(client);
    answer(client, "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");

    EXPECT_TRUE(until([&] { return dropped("refused") == 2; }));
    push(1);
    EXPECT_THAT(request(client), StartsWith("POST "));
}

TEST_F(OtlpExporterTest, ASilentCollectorIsLeftAfterTheTimeout) {
    auto with = options();
    with.timeout = 50ms;
    with.tries_max = 2;
    begin(std::move(with));
    push(1);

    EXPECT_TRUE(until([&] { return dropped("unreachable") == 1; }));
}

TEST_F(OtlpExporterTest, NonsenseIsAFailedTry) {
    begin(options());
    push(1);
    const UniqueFd client = listener.accept(loop);
    request(client);
    answer(client, "SSH-2.0-OpenSSH\r\n\r\n");
    const UniqueFd next = listener.accept(loop);
    EXPECT_THAT(request(next), StartsWith("POST "));
    answer(next, kGood);

    EXPECT_TRUE(until([&] { return exported() == 1; }));
}

TEST_F(OtlpExporterTest, WhileNobodyAnswersOnlyTheBufferFillsAndTheRestIsCounted) {
    begin(options());
    push(4);  // In hand.
    const UniqueFd client = listener.accept(loop);
    request(client);
    push(11);  // 8 fit.

    EXPECT_EQ(dropped("full"), 3);
    EXPECT_EQ(exporter->spans().size(), 8U);
}

TEST_F(OtlpExporterTest, AStopSendsWhatWaits) {
    begin(options());
    push(4);
    push(3);
    bool stopped = false;
    exporter->stop(2s, [&] { stopped = true; });
    const UniqueFd client = listener.accept(loop);
    for (int i = 0; i < 2; ++i) {
        EXPECT_FALSE(stopped);
        request(client);
        answer(client, kGood);
    }

    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(exported(), 7);
}

TEST_F(OtlpExporterTest, AStopWithNothingToSendIsDoneAtOnce) {
    begin(options());
    bool stopped = false;

    exporter->stop(2s, [&] { stopped = true; });

    EXPECT_TRUE(stopped);
}

TEST_F(OtlpExporterTest, AStopDoesNotWaitLongerThanItMay) {
    begin(options());
    push(7);
    bool stopped = false;
    exporter->stop(30ms, [&] { stopped = true; });

    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(dropped("unreachable"), 7);
}

TEST_F(OtlpExporterTest, AStopTriesEachBatchOnce) {
    listener.stop();
    begin(options());
    push(7);
    bool stopped = false;
    exporter->stop(60s, [&] { stopped = true; });

    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(dropped("unreachable"), 7);
}

TEST_F(OtlpExporterTest, AStopEndsAPause) {
    auto with = options();
    with.pause_initial = 60s;
    with.pause_most = 60s;
    begin(std::move(with));
    push(1);
    const UniqueFd client = listener.accept(loop);
    request(client);
    answer(client, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    loop.turn(50ms);
    bool stopped = false;
    exporter->stop(60s, [&] { stopped = true; });
    request(client);
    answer(client, kGood);

    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(exported(), 1);
}

}  // namespace
}  // namespace boardbus::transport
