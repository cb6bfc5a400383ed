// SPDX-License-Identifier: Apache-2.0
#include "web/replies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "web/pages.h"

namespace boardbus::web {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr WallTime kNow{std::chrono::microseconds(1'795'426'695'250'000)};  // 2026-11-23 09:38:15.25 UTC
constexpr std::string_view kListed = "http://localhost:3000";

std::string head_of(const std::string& response) {
    return response.substr(0, response.find("\r\n\r\n") + 4);
}

TEST(Replies, WritesAWholeResponse) {
    Options options;
    options.security.enabled = false;
    options.cors.allowed_origins.clear();
    Replies replies(options);

    const auto response = replies.make({.body = R"({"status":"ok"})"}, {.request_id = "r-1"}, kNow);

    EXPECT_EQ(response,
              "HTTP/1.1 200 OK\r\n"
              "Date: Mon, 23 Nov 2026 09:38:15 GMT\r\n"
              "X-Request-ID: r-1\r\n"
              "Connection: keep-alive\r\n"
              "Cache-Control: no-store\r\n"
              "Content-Type: application/json\r\n"
              "Content-Length: 15\r\n"
              "\r\n"
              R"({"status":"ok"})");
}

TEST(Replies, CarriesTheSecurityHeadersOnEveryKindOfResponse) {
    Replies replies{Options{}};
    const ReplyContext context{.origin = kListed, .rate = RateDecision{}};
    const std::string all[] = {
        replies.make({}, context, kNow),
        replies.error(404, "Not Found", context, kNow),
        replies.wrong_method("GET", context, kNow),
        replies.rate_limited(context, kNow),
        replies.preflight({"GET", ""}, context, kNow),
        replies.preflight({"PUT", ""}, context, kNow),
        replies.sse_head(context, kNow),
        replies.handshake_headers(context),
    };
    for (const auto& response : all) {
        EXPECT_THAT(response, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
        EXPECT_THAT(response, HasSubstr("X-Frame-Options: DENY\r\n"));
        EXPECT_THAT(response, HasSubstr("Referrer-Policy: no-referrer\r\n"));
        EXPECT_THAT(response, HasSubstr("Permissions-Policy: camera=(), microphone=(), geolocation=()\r\n"));
        EXPECT_THAT(response, HasSubstr("Cross-Origin-Opener-Policy: same-origin\r\n"));
        EXPECT_THAT(response, HasSubstr("Cross-Origin-Resource-Policy: same-origin\r\n"));
        EXPECT_THAT(response, HasSubstr("Content-Security-Policy: default-src 'self'"));
        EXPECT_THAT(response, HasSubstr("Strict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\n"));
        EXPECT_THAT(response, Not(HasSubstr("Cross-Origin-Embedder-Policy")));
        EXPECT_THAT(response, Not(HasSubstr("Server:")));
    }
}

TEST(Replies, LeavesOutWhatIsSwitchedOff) {
    Options options;
    options.security.x_frame_options = "";
    options.security.cross_origin_embedder_policy = "require-corp";
    options.security.remove_server_header = false;

    const auto block = Replies(options).handshake_headers({});

    EXPECT_THAT(block, Not(HasSubstr("X-Frame-Options")));
    EXPECT_THAT(block, HasSubstr("Cross-Origin-Embedder-Policy: require-corp\r\n"));
    EXPECT_THAT(block, HasSubstr("Server: boardbus\r\n"));
}

TEST(Replies, AnswersHeadWithTheLengthAndWithoutTheBody) {
    Replies replies{Options{}};
    const auto get = replies.make({.body = "12345"}, {}, kNow);
    const auto head = replies.make({.body = "12345"}, {.body = Body::omit}, kNow);

    EXPECT_EQ(head, head_of(get));
    EXPECT_THAT(head, HasSubstr("Content-Length: 5\r\n"));
}

TEST(Replies, GivesA304NoContent) {
    Replies replies{Options{}};
    const auto response =
        replies.make({.status = 304, .cache_control = "no-cache", .headers = {{"ETag", "\"e\""}}}, {}, kNow);

    EXPECT_THAT(response,
                AllOf(StartsWith("HTTP/1.1 304 Not Modified\r\n"), EndsWith("\r\n\r\n"), HasSubstr("ETag: \"e\"\r\n")));
    EXPECT_THAT(response, AllOf(Not(HasSubstr("\nContent-Length")), Not(HasSubstr("\nContent-Type"))));
}

TEST(Replies, ClosesWhenAsked) {
    EXPECT_THAT(Replies{Options{}}.make({}, {.connection = Connection::close}, kNow),
                HasSubstr("Connection: close\r\n"));
}

TEST(Replies, KeepsTheDateOfTheSecond) {
    Replies replies{Options{}};
    EXPECT_THAT(replies.make({}, {}, kNow), HasSubstr("Date: Mon, 23 Nov 2026 09:38:15 GMT\r\n"));
    EXPECT_THAT(replies.make({}, {}, kNow + 700ms), HasSubstr("09:38:15 GMT\r\n"));
    EXPECT_THAT(replies.make({}, {}, kNow + 800ms), HasSubstr("09:38:16 GMT\r\n"));
}

TEST(Replies, NeverLetsAValueStartAHeader) {
    Replies replies{Options{}};
    const auto response = replies.make({.headers = {{"ETag", "a\r\nSet-Cookie: b\n"}}}, {.request_id = "x\r\ny"}, kNow);

    EXPECT_THAT(response, HasSubstr("ETag: a  Set-Cookie: b \r\n"));
    EXPECT_THAT(response, HasSubstr("X-Request-ID: x  y\r\n"));
}

TEST(Replies, EscapesTheDetail) {
    EXPECT_EQ(detail_json("a\"b\\c\n\x01ü"), R"({"detail":"a\"b\\c\u000a\u0001ü"})");
    EXPECT_THAT(Replies{Options{}}.error(404, "Not Found", {}, kNow), EndsWith("\r\n\r\n{\"detail\":\"Not Found\"}"));
}

TEST(Replies, ChallengesTheUnauthorized) {
    EXPECT_THAT(Replies{Options{}}.error(401, "Invalid token", {}, kNow),
                AllOf(StartsWith("HTTP/1.1 401 Unauthorized\r\n"), HasSubstr("WWW-Authenticate: Bearer\r\n")));
}

TEST(Replies, NamesTheAllowedMethods) {
    EXPECT_THAT(Replies{Options{}}.wrong_method("GET, HEAD", {}, kNow),
                AllOf(StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"), HasSubstr("Allow: GET, HEAD\r\n")));
}

TEST(Replies, TellsTheRateLimited) {
    Replies replies{Options{}};
    const auto response = replies.rate_limited({.rate = RateDecision{false, 120, 0, 10500ms}}, kNow);

    EXPECT_THAT(response, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
    EXPECT_THAT(response, HasSubstr("Retry-After: 11\r\n"));
    EXPECT_THAT(response, HasSubstr("X-RateLimit-Limit: 120\r\n"));
    EXPECT_THAT(response, HasSubstr("X-RateLimit-Remaining: 0\r\n"));
    EXPECT_THAT(response, HasSubstr("X-RateLimit-Reset: 1795426706\r\n"));  // 695.25 + 10.5, rounded up.
    EXPECT_THAT(response, EndsWith("\r\n\r\n{\"detail\":\"Rate limit exceeded\"}"));
}

TEST(Replies, HidesTheCountersWhenAsked) {
    Options options;
    options.rate_limit_headers = false;
    const auto response = Replies(options).rate_limited({.rate = RateDecision{false, 120, 0, 0s}}, kNow);

    EXPECT_THAT(response, Not(HasSubstr("X-RateLimit-Limit:")));
    EXPECT_THAT(response, HasSubstr("Retry-After: 1\r\n"));
}

TEST(Cors, EchoesAListedOrigin) {
    Replies replies{Options{}};
    const auto response = replies.make({}, {.origin = kListed}, kNow);

    EXPECT_THAT(response, HasSubstr("Access-Control-Allow-Origin: http://localhost:3000\r\n"));
    EXPECT_THAT(
        response,
        HasSubstr(
            "Access-Control-Expose-Headers: Retry-After, X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining\r\n"));
    EXPECT_THAT(response, HasSubstr("Vary: Origin\r\n"));
    EXPECT_THAT(response, Not(HasSubstr("Allow-Credentials")));
}

TEST(Cors, SaysNothingToOthers) {
    Replies replies{Options{}};
    for (const auto origin :
         {"", "null", "http://evil.test", "http://localhost:3000.evil.test", "http://localhost:300"}) {
        const auto response = replies.make({}, {.origin = origin}, kNow);
        EXPECT_THAT(response, Not(HasSubstr("Access-Control-"))) << origin;
        EXPECT_THAT(response, HasSubstr("Vary: Origin\r\n"));
    }
}

TEST(Cors, AllowsCredentialsWhenOn) {
    Options options;
    options.cors.allow_credentials = true;
    Replies replies(options);

    EXPECT_THAT(replies.sse_head({.origin = kListed}, kNow), HasSubstr("Access-Control-Allow-Credentials: true\r\n"));
    EXPECT_THAT(replies.preflight({"GET", ""}, {.origin = kListed}, kNow),
                HasSubstr("Access-Control-Allow-Credentials: true\r\n"));
}

TEST(Preflight, TellsWhatIsAllowed) {
    const auto response = Replies{Options{}}.preflight({"GET", "authorization, X-Requested-With,content-language"},
                                                       {.origin = kListed}, kNow);

    EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(response, HasSubstr("Access-Control-Allow-Origin: http://localhost:3000\r\n"));
    EXPECT_THAT(response, HasSubstr("Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
    EXPECT_THAT(response, HasSubstr("Access-Control-Allow-Headers: Accept, Accept-Language, Authorization, "
                                    "Content-Type, Cache-Control, Pragma, "
                                    "X-Requested-With\r\n"));
    EXPECT_THAT(response, HasSubstr("Access-Control-Max-Age: 600\r\n"));
    EXPECT_THAT(response, EndsWith("Content-Length: 2\r\n\r\nOK"));
}

TEST(Preflight, NamesWhatItRefuses) {
    Replies replies{Options{}};
    const auto origin = replies.preflight({"GET", ""}, {.origin = "http://evil.test"}, kNow);
    EXPECT_THAT(origin, AllOf(StartsWith("HTTP/1.1 400 Bad Request\r\n"), EndsWith("\r\n\r\nDisallowed CORS origin")));
    EXPECT_THAT(origin, Not(HasSubstr("Access-Control-")));
    EXPECT_THAT(replies.preflight({"DELETE", "X-Evil"}, {.origin = kListed}, kNow),
                EndsWith("\r\n\r\nDisallowed CORS method, headers"));
}

TEST(SseHead, OpensAStreamWithoutAnEnd) {
    const auto head = Replies{Options{}}.sse_head({}, kNow);

    EXPECT_THAT(head,
                AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\n"), HasSubstr("Connection: close\r\n")));
    EXPECT_THAT(head, HasSubstr("Content-Type: text/event-stream"));
    EXPECT_THAT(head, HasSubstr("Cache-Control: no-store\r\n"));
    EXPECT_THAT(head, HasSubstr("X-Accel-Buffering: no\r\n"));
    EXPECT_THAT(head, Not(HasSubstr("Content-Length")));
}

TEST(RequestId, EchoesASaneOne) {
    EXPECT_EQ(request_id_for("abc-1.2_3"), "abc-1.2_3");
    EXPECT_EQ(request_id_for(std::string(128, 'x')), std::string(128, 'x'));
}

TEST(RequestId, ReplacesTheRest) {
    for (const auto& value :
         {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\r\nb"), std::string("ü")}) {
        const auto id = request_id_for(value);
        EXPECT_NE(id, value);
        EXPECT_EQ(id.size(), 36u);
    }
}

TEST(Pages, EscapesTheProjectName) {
    Options options;
    options.project_name = R"("><script>alert('x')</script>&{{token_hint}})";
    options.token = "secret";
    const auto page = Pages(options).index(Address::parse("127.0.0.1").value(), Forwarded::no);

    EXPECT_THAT(
        page, HasSubstr("<title>&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;{{token_hint}}</title>"));
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, Not(HasSubstr("secret")));
}

TEST(Pages, HintsAtTheDefaultTokenToLoopbackOnly) {
    const Pages pages{Options{}};
    const auto hint = HasSubstr(std::string(kDefaultToken));

    EXPECT_THAT(pages.index(Address::parse("::1").value(), Forwarded::no), hint);
    EXPECT_THAT(pages.index(Address::parse("::1").value(), Forwarded::yes), Not(hint));
    EXPECT_THAT(pages.index(Address::parse("192.0.2.1").value(), Forwarded::no), Not(hint));
}

TEST(Pages, ObeysItsOwnContentSecurityPolicy) {
    const auto page = Pages{Options{}}.index(Address(), Forwarded::no);

    EXPECT_THAT(page, Not(HasSubstr("<style")));
    EXPECT_THAT(page, Not(HasSubstr(" style=")));
    EXPECT_THAT(page, Not(HasSubstr("<script>")));
    EXPECT_THAT(page, Not(testing::ContainsRegex(" on[a-z]+=")));
    EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST(Pages, FindsEveryFileThatThePageNames) {
    const Pages pages{Options{}};
    const auto page = pages.index(Address(), Forwarded::no);
    int found = 0;
    for (const std::string_view attribute : {"src=\"", "href=\""}) {
        for (auto at = page.find(attribute); at != std::string::npos; at = page.find(attribute, at + 1)) {
            const auto begin = at + attribute.size();
            const auto path = page.substr(begin, page.find('"', begin) - begin);
            EXPECT_TRUE(pages.find(path)) << path;
            ++found;
        }
    }
    EXPECT_GE(found, 3);
}

TEST(Pages, ServesFilesWithTypeAndTag) {
    const Pages pages{Options{}};
    const auto icon = pages.find("/favicon.svg");

    ASSERT_TRUE(icon);
    EXPECT_EQ(icon->content_type, "image/svg+xml");
    EXPECT_THAT(icon->body, StartsWith("<svg "));
    EXPECT_THAT(icon->etag, AllOf(StartsWith("\""), EndsWith("\"")));
    EXPECT_FALSE(pages.find("/index.html"));
    EXPECT_FALSE(pages.find("/assets/../favicon.svg"));
}

TEST(Etag, MatchesListsWeakTagsAndStars) {
    EXPECT_TRUE(matches_etag("\"a\"", "\"a\""));
    EXPECT_TRUE(matches_etag("\"b\", W/\"a\"", "\"a\""));
    EXPECT_TRUE(matches_etag("*", "\"a\""));
    EXPECT_FALSE(matches_etag("\"b\"", "\"a\""));
    EXPECT_FALSE(matches_etag("", "\"a\""));
}

}  // namespace
}  // namespace boardbus::web
