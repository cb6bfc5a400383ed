// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "web/edge_fixture.h"

namespace boardbus::web {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class HttpSessionTest : public EdgeTest {
  protected:
    std::string ask(std::string_view request) {
        Client client = connect();
        client.send(request);
        return client.now();
    }

    static std::string post(std::string_view body, std::string_view token = "secret") {
        return "POST /boards/b1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + std::string(token) +
               "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
    }
};

TEST_F(HttpSessionTest, SaysWhetherItLivesAndIsReady) {
    EXPECT_THAT(ask(get("/healthz")), AllOf(HasSubstr("200 OK"), HasSubstr(R"({"status":"ok"})")));
    EXPECT_THAT(ask(get("/readyz")),
                AllOf(HasSubstr(" 503 "), HasSubstr(R"({"status":"starting","event_pipeline_ready":false})")));
    readiness.set(Readiness::State::ready);
    EXPECT_THAT(ask(get("/readyz")),
                AllOf(HasSubstr(" 200 "), HasSubstr(R"({"status":"ready","event_pipeline_ready":true})")));
}

TEST_F(HttpSessionTest, AnswersUnknownPathsAndWrongMethods) {
    EXPECT_THAT(ask(get("/nothing")), AllOf(HasSubstr(" 404 "), HasSubstr(R"({"detail":"Not Found"})")));
    EXPECT_THAT(ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
                AllOf(HasSubstr(" 405 "), HasSubstr("Allow: GET, HEAD")));
    EXPECT_THAT(ask("DELETE /boards/b/messages HTTP/1.1\r\nHost: x\r\n\r\n"),
                AllOf(HasSubstr(" 405 "), HasSubstr("Allow: POST\r\n")));
}

TEST_F(HttpSessionTest, AnswersPipelinedRequestsInOrderOnOneConnection) {
    Client client = connect();
    client.send(get("/healthz") + get("/nothing") + get("/healthz", "Connection: close\r\n"));

    const std::string answers = client.until_end();

    EXPECT_LT(answers.find(" 200 "), answers.find(" 404 "));
    EXPECT_LT(answers.find(" 404 "), answers.rfind(" 200 "));
}

TEST_F(HttpSessionTest, AnswersABoundedNumberOfPipelinedRequestsInATurn) {
    Client client = connect();
    std::string many;
    for (int i = 0; i < 40; ++i) {
        many += get("/healthz");
    }
    client.send(many);
    const auto answered = [&] {
        const std::string text = metrics.expose();
        const std::string_view name = R"(http_route="/healthz",http_status_code="200"} )";
        const auto at = text.find(name, text.find("advanced_http_requests_total{"));
        return at == std::string::npos ? 0 : std::stoi(text.substr(at + name.size()));
    };

    loop.turn(std::chrono::milliseconds(10));
    const int soon = answered();
    client.now();

    EXPECT_EQ(soon, 16);
    EXPECT_EQ(answered(), 40);
}

TEST_F(HttpSessionTest, KeepsPipelinedRequestsUntilTheBusHasAnswered) {
    bus.keeping = true;
    Client client = connect();
    client.send(post(R"({"action":"a"})") + get("/healthz"));
    EXPECT_EQ(client.now(), "");

    bus.answer_all();

    const std::string answers = client.now();
    EXPECT_THAT(answers, HasSubstr(" 202 "));
    EXPECT_LT(answers.find(" 202 "), answers.find(" 200 "));
}

TEST_F(HttpSessionTest, AnswersAPostWithWhatTheBusDid) {
    EXPECT_THAT(ask(post(R"({"action":"a","correlation_id":"c\"1"})")),
                AllOf(HasSubstr(" 202 "), HasSubstr(R"({"event_id":")"), HasSubstr(R"(,"correlation_id":"c\"1"})")));
    EXPECT_THAT(ask(post("nothing")), AllOf(HasSubstr(" 400 "), HasSubstr("Messages must be valid JSON objects.")));
    EXPECT_THAT(ask(post("{}")), AllOf(HasSubstr(" 422 "), HasSubstr(R"("type":"missing")")));
    EXPECT_THAT(ask(post("{}", "wrong")), AllOf(HasSubstr(" 401 "), HasSubstr("detail")));
    bus.outcome = board::PublishOutcome::rejected;
    EXPECT_THAT(ask(post(R"({"action":"a"})")),
                AllOf(HasSubstr(" 503 "), HasSubstr("Retry-After: "), HasSubstr(R"({"outcome":"rejected"})")));
    bus.outcome = board::PublishOutcome::unknown;
    EXPECT_THAT(ask(post(R"({"action":"a"})")), HasSubstr(R"({"outcome":"unknown"})"));
}

TEST_F(HttpSessionTest, RefusesWhatIsTooLarge) {
    options.max_message_bytes = 100;
    EXPECT_THAT(ask(post(std::string(101, ' '))), HasSubstr(" 413 "));
    EXPECT_THAT(ask(get("/healthz", "X-Long: " + std::string(20'000, 'x') + "\r\n")), HasSubstr(" 431 "));
}

TEST_F(HttpSessionTest, HeadHasTheHeadersOnly) {
    const std::string answer = ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");

    EXPECT_THAT(answer, AllOf(HasSubstr("Content-Length: 15"), Not(HasSubstr("status"))));
}

TEST_F(HttpSessionTest, CountsRequestsOfAnAddressExceptProbes) {
    options.default_rate_limit = RateLimit{2, std::chrono::seconds(60)};

    EXPECT_THAT(ask(get("/nothing")), HasSubstr(" 404 "));
    EXPECT_THAT(ask(get("/nothing")), HasSubstr(" 404 "));
    EXPECT_THAT(ask(get("/nothing")),
                AllOf(HasSubstr(" 429 "), HasSubstr("Retry-After"), HasSubstr("Rate limit exceeded")));
    EXPECT_THAT(ask(get("/healthz")), HasSubstr(" 200 "));
    EXPECT_THAT(ask(get("/metrics")), AllOf(HasSubstr(" 200 "), HasSubstr("advanced_http_requests_total")));
}

TEST_F(HttpSessionTest, StreamsAllBoardsAsChunksOrSome) {
    Client all = connect();
    all.send(get("/sse/activity?token=secret"));
    Client some = connect();
    some.send(get("/sse/activity?board=b2&board=b1&board=b1", "Authorization: Bearer secret\r\n"));
    Client other = connect();
    other.send(get("/sse/boards/b2?token=secret"));
    for (Client* client : {&all, &some, &other}) {
        EXPECT_THAT(client->until("\r\n\r\n"),
                    AllOf(HasSubstr("text/event-stream"), HasSubstr("Transfer-Encoding: chunked"),
                          HasSubstr("X-Accel-Buffering: no")));
        client->until("retry: ");
        client->until("id: ");
        client->now();
    }

    ask(post(R"({"action":"two\nlines"})"));

    const std::string event = all.now();
    EXPECT_THAT(event, AllOf(HasSubstr("event: two lines\ndata: {"), HasSubstr("\n\n\r\n")));
    EXPECT_EQ(event.find("id: "), 10U);
    EXPECT_EQ(std::stoul(event.substr(0, 8), nullptr, 16), event.size() - 12);
    EXPECT_EQ(some.now(), event);
    EXPECT_EQ(other.now(), "");
}

TEST_F(HttpSessionTest, RefusesMoreBoardsThanAStreamCanName) {
    std::string boards;
    for (int i = 0; i < 64; ++i) {
        boards += "&board=" + std::to_string(i);
    }

    EXPECT_THAT(ask(get("/sse/activity?token=secret" + boards)), HasSubstr(" 200 "));
    EXPECT_THAT(ask(get("/sse/activity?token=secret&board=one-more" + boards)), HasSubstr(" 400 "));
}

/// A bus whose answers come as input of the loop, like a broker's.
class BusSocket final : public Watcher {
  public:
    BusSocket(Loop& loop, FakeBus& bus) : loop_(loop), bus_(bus) {
        int pair[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ours_.reset(pair[0]);
        theirs_.reset(pair[1]);
        loop_.add(ours_.get(), EPOLLIN, *this);
    }
    ~BusSocket() { loop_.remove(ours_.get(), *this); }

    void answer() const { EXPECT_EQ(::send(theirs_.get(), "x", 1, 0), 1); }
    void on_ready(std::uint32_t) override {
        char byte = 0;
        EXPECT_EQ(::recv(ours_.get(), &byte, 1, 0), 1);
        bus_.answer_all();
    }

  private:
    Loop& loop_;
    FakeBus& bus_;
    UniqueFd ours_;
    UniqueFd theirs_;
};

TEST_F(HttpSessionTest, AConnectionThatBecomesAStreamInTheTurnOfItsEndIsNotCalledAgain) {
    bus.keeping = true;
    BusSocket broker(loop, bus);
    Client client = connect();
    client.send(post(R"({"action":"a"})") + get("/sse/activity?token=secret"));
    client.now();

    // One turn reads both: the answer, which lets the stream begin, and the end of the client.
    broker.answer();
    client.hang_up();
    loop.turn(std::chrono::milliseconds(10));
    loop.turn(std::chrono::milliseconds(10));

    EXPECT_EQ(edge().session_count(), 0U);
}

TEST_F(HttpSessionTest, AStreamGoesOnBehindTheEventThatTheClientHasSeen) {
    ask(post(R"({"action":"one"})"));
    ask(post(R"({"action":"two"})"));
    const std::string cursor = history.all.front().cursor;
    for (const std::string path :
         {"/sse/activity?token=secret", "/sse/boards/b1?token=secret", "/sse/activity?board=b1&board=x&token=secret"}) {
        Client by_header = connect();
        by_header.send(get(path, "Last-Event-ID: " + cursor + "\r\n"));
        Client by_query = connect();
        by_query.send(get(path + "&last_event_id=" + cursor));
        for (Client* client : {&by_header, &by_query}) {
            const std::string text = client->until("event: two");
            EXPECT_THAT(text, AllOf(HasSubstr("id: " + history.all.back().cursor), Not(HasSubstr("event: one"))));
        }
    }
}

TEST_F(HttpSessionTest, AStreamWithACursorOfNobodyIsToldToResync) {
    Client client = connect();
    client.send(get("/sse/boards/b1?token=secret", "Last-Event-ID: 8a0c\r\n"));

    EXPECT_THAT(client.until("\n\n\r\n"), HasSubstr("retry: "));
    const std::string notice = client.until("}\n\n");
    EXPECT_THAT(notice, HasSubstr("event: boardbus.resync\n"));
    EXPECT_THAT(notice, HasSubstr(R"(data: {"kind":"resync","board":"b1","epoch":"e1","seq":0})"));
}

TEST_F(HttpSessionTest, OnlyAStreamThatCanGoOnIsNotCounted) {
    options.stream_rate_limit = RateLimit{1, std::chrono::seconds(60)};
    edge();
    hub.on_begin("e1", 0);
    ask(post(R"({"action":"one"})"));
    const std::string good = "Last-Event-ID: " + history.all.front().cursor + "\r\n";

    EXPECT_THAT(ask(get("/sse/activity?token=secret")), HasSubstr(" 200 "));
    EXPECT_THAT(ask(get("/sse/activity?token=secret", good)), HasSubstr(" 200 "));
    EXPECT_THAT(ask(get("/sse/activity?token=wrong", good)), HasSubstr(" 429 "));
    EXPECT_THAT(ask(get("/sse/activity?token=secret", "Last-Event-ID: e0.1.1.00000000\r\n")), HasSubstr(" 429 "));
    EXPECT_THAT(ask(get("/sse/activity?token=secret", "Last-Event-ID: x\r\n")), HasSubstr(" 429 "));
}

TEST_F(HttpSessionTest, PagesBackThroughTheHistory) {
    for (const std::string action : {"1", "2", "3"}) {
        ask(post(R"({"action":")" + action + R"("})"));
    }
    const std::string newest = ask(get("/boards/b1/history?limit=2&token=secret"));
    EXPECT_THAT(newest, AllOf(HasSubstr(R"({"board":"b1","epoch":"e1","events":[{)"), HasSubstr(R"("action":"2")"),
                              HasSubstr(R"("action":"3")"), Not(HasSubstr(R"("action":"1")")),
                              HasSubstr(R"(],"first_seq":1,"last_seq":3,"next_before_seq":2})")));
    const std::string oldest = ask(get("/boards/b1/history?before_seq=2&token=secret"));
    EXPECT_THAT(oldest, AllOf(HasSubstr(R"("action":"1")"), HasSubstr(R"("next_before_seq":null})")));
    EXPECT_THAT(ask(get("/boards/new/history?token=secret")),
                HasSubstr(R"("events":[],"first_seq":0,"last_seq":0,"next_before_seq":null})"));
}

TEST_F(HttpSessionTest, SaysWhatIsWrongWithAQuestionToTheHistory) {
    EXPECT_THAT(ask(get("/boards/b1/history")), HasSubstr(" 401 "));
    EXPECT_THAT(ask(get("/boards/%FF/history?token=secret")), HasSubstr(" 404 "));
    EXPECT_THAT(ask("POST /boards/b1/history HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), HasSubstr(" 405 "));
    EXPECT_THAT(ask(get("/boards/b1/history?limit=0&before_seq=x&token=secret")),
                AllOf(HasSubstr(" 422 "), HasSubstr(R"({"loc":["query","limit"],)"), HasSubstr("greater_than_equal"),
                      HasSubstr(R"({"loc":["query","before_seq"],)"), HasSubstr("int_parsing")));
    EXPECT_THAT(ask(get("/boards/b1/history?limit=1001&token=secret")), HasSubstr("less_than_equal"));
    EXPECT_THAT(ask(get("/boards/b1/history?limit=99999999999999999999&token=secret")), HasSubstr("less_than_equal"));
    history.failing = true;
    EXPECT_THAT(ask(get("/boards/b1/history?token=secret")), AllOf(HasSubstr(" 503 "), HasSubstr("Retry-After: 1")));
}

TEST_F(HttpSessionTest, APageOfTheHistoryIsNotOlderThanTheQuestion) {
    history.keeping = true;
    Client early = connect();
    early.send(get("/boards/b1/history?token=secret"));
    early.now();
    ask(post(R"({"action":"one"})"));
    Client late = connect();
    late.send(get("/boards/b1/history?token=secret"));
    late.now();

    history.answer_one();
    EXPECT_THAT(early.until("\"next_before_seq\":"), HasSubstr(R"("last_seq":0)"));
    history.answer_one();

    EXPECT_THAT(late.until("\"next_before_seq\":"), HasSubstr(R"("last_seq":1)"));
}

TEST_F(HttpSessionTest, QuestionsToTheHistoryOfClientsThatHaveGoneAreBounded) {
    history.keeping = true;
    for (int i = 0; i < 1'100; ++i) {
        Client gone = connect();
        gone.send(get("/boards/b1/history?token=secret"));
        gone.now();
        gone.hang_up();
        loop.turn(std::chrono::milliseconds(0));
    }

    EXPECT_THAT(ask(get("/boards/b1/history?token=secret")), AllOf(HasSubstr(" 503 "), HasSubstr("Retry-After: 1")));

    history.keeping = false;
    history.answer_one();
    loop.turn(std::chrono::milliseconds(0));
    EXPECT_THAT(ask(get("/boards/b1/history?token=secret")), HasSubstr(" 200 "));
}

TEST_F(HttpSessionTest, StreamsWithoutChunksToHttp10) {
    Client stream = connect();
    stream.send("GET /sse/activity?token=secret HTTP/1.0\r\n\r\n");
    EXPECT_THAT(stream.until("\r\n\r\n"), Not(HasSubstr("chunked")));

    ask(post(R"({"action":"a"})"));

    const std::string text = stream.now();
    EXPECT_TRUE(text.starts_with("retry: ")) << text;
    EXPECT_THAT(text, HasSubstr("\n\nid: e1.1.1."));
}

TEST_F(HttpSessionTest, ShowsHealthAndMetricsAloneWhenToldTo) {
    options.surface = Surface::admin;

    EXPECT_THAT(ask(get("/healthz")), HasSubstr(" 200 "));
    EXPECT_THAT(ask(get("/")), HasSubstr(" 404 "));
    EXPECT_THAT(ask(get("/sse/activity?token=secret")), HasSubstr(" 404 "));
}

TEST_F(HttpSessionTest, ShowsThePageAndItsFiles) {
    EXPECT_THAT(ask(get("/")),
                AllOf(HasSubstr(" 200 "), HasSubstr("text/html"), HasSubstr("Content-Security-Policy: ")));
    const auto assets = embedded_pages().assets;
    ASSERT_FALSE(assets.empty());
    const std::string path(assets.front().path);
    const std::string etag(assets.front().etag);

    EXPECT_THAT(ask(get(path + "?v=1")), AllOf(HasSubstr(" 200 "), HasSubstr("ETag: " + etag)));
    EXPECT_THAT(ask(get(path, "If-None-Match: " + etag + "\r\n")), HasSubstr(" 304 "));
}

TEST_F(HttpSessionTest, EndsAStreamProperlyWhenGoingAway) {
    Client stream = connect();
    stream.send(get("/sse/activity?token=secret"));
    stream.until("\r\n\r\n");
    bool done = false;

    edge().drain(std::chrono::seconds(5), [&] { done = true; });

    EXPECT_THAT(stream.until_end(), testing::MatchesRegex(".*retry: [0-9]+\n\n\r\n0\r\n\r\n"));
    stream.hang_up();
    loop.turn(std::chrono::milliseconds(10));
    loop.turn(std::chrono::milliseconds(10));
    EXPECT_TRUE(done);
}

TEST_F(HttpSessionTest, RefusesAStreamWithoutToken) {
    EXPECT_THAT(ask(get("/sse/activity")), AllOf(HasSubstr(" 401 "), HasSubstr(R"({"detail":")")));
}

// These wait for real time: they run after the others.
using TimedHttpSessionTest = HttpSessionTest;

TEST_F(TimedHttpSessionTest, HeartbeatsAQuietStreamOnly) {
    options.sse_heartbeat = std::chrono::seconds(0);
    Client stream = connect();
    stream.send(get("/sse/activity?token=secret"));

    EXPECT_THAT(stream.until("{}\n\n"), HasSubstr("event: heartbeat\ndata: {}\n\n"));
}

TEST_F(TimedHttpSessionTest, AnAnswerThatIsReadSlowlyIsNotCut) {
    options.idle_timeout = std::chrono::seconds(1);
    for (int i = 0; i < 40; ++i) {
        hub.on_activities({history.add("b1", std::string(60'000, 'x'))});
    }
    Client client = connect();
    client.send(get("/boards/b1/history?limit=100&token=secret", "Connection: close\r\n"));

    std::size_t size = 0;
    std::string buffer(200'000, 0);
    const auto begin = std::chrono::steady_clock::now();
    for (ssize_t got = 1; got != 0;) {
        for (const auto next = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
             std::chrono::steady_clock::now() < next;) {
            loop.turn(std::chrono::milliseconds(20));
        }
        got = ::recv(client.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        size += got > 0 ? static_cast<std::size_t>(got) : 0;
        ASSERT_TRUE(got >= 0 || errno == EAGAIN);
    }

    EXPECT_GT(size, 40U * 60'000);
    EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(TimedHttpSessionTest, SaysTimeoutToARequestThatDoesNotEnd) {
    options.header_timeout = std::chrono::seconds(0);
    Client client = connect();
    client.send("GET / HTTP/1.1\r\nHost");

    EXPECT_THAT(client.until_end(), HasSubstr(" 408 "));
}

}  // namespace
}  // namespace boardbus::web
