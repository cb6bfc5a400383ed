// SPDX-License-Identifier: Apache-2.0
#include "web/admission.h"

#include <gtest/gtest.h>

namespace boardbus::web {
namespace {

TEST(TokenCheck, OpensToTheTokenOnly) {
    const TokenCheck check("change-me-realtime");

    EXPECT_TRUE(check.matches("change-me-realtime"));
    EXPECT_FALSE(check.matches("change-me-realtim"));
    EXPECT_FALSE(check.matches("change-me-realtime "));
    EXPECT_FALSE(check.matches("Change-me-realtime"));
    EXPECT_FALSE(check.matches(""));
}

TEST(TokenCheck, NeverOpensToAnEmptyTextEvenWhenItIsTheToken) {
    EXPECT_FALSE(TokenCheck("").matches(""));
}

TEST(QueryValue, DecodesAsFormsDo) {
    EXPECT_EQ(query_value("token=a%2Bb+c&x=1", "token"), "a+b c");
    EXPECT_EQ(query_value("x=1&to%6Ben=v", "token"), "v");
    EXPECT_EQ(query_value("token=%zz%4", "token"), "%zz%4");
    EXPECT_EQ(query_value("token=a=b", "token"), "a=b");
    EXPECT_EQ(query_value("token=%C3%BC", "token"), "ü");
}

TEST(QueryValue, IsEmptyWhenAbsent) {
    EXPECT_EQ(query_value("", "token"), "");
    EXPECT_EQ(query_value("token", "token"), "");
    EXPECT_EQ(query_value("mytoken=1&tokens=2&&=&", "token"), "");
}

TEST(QueryValue, TakesTheLast) {
    EXPECT_EQ(query_value("token=a&token=b", "token"), "b");
}

TEST(QueryValues, KeepsOrderAndBound) {
    EXPECT_EQ(query_values("board=a&x=1&board=b&board=c", "board", 64), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(query_values("board=a&board=b&board=c", "board", 2), (std::vector<std::string>{"a", "b"}));
}

TEST(PresentedToken, PrefersTheQuery) {
    EXPECT_EQ(presented_token("token=q", "Bearer h"), "q");
    EXPECT_EQ(presented_token("token=wrong", "Bearer right"), "wrong");
}

TEST(PresentedToken, FallsBackToTheHeaderWhenTheQueryIsEmpty) {
    EXPECT_EQ(presented_token("token=", "Bearer h"), "h");
    EXPECT_EQ(presented_token("", "bearer   h "), "h");
    EXPECT_EQ(presented_token("", "BEARER h"), "h");
}

TEST(PresentedToken, IsEmptyWithoutBearer) {
    EXPECT_EQ(presented_token("", ""), "");
    EXPECT_EQ(presented_token("", "Bearer"), "");
    EXPECT_EQ(presented_token("", "Bearer   "), "");
    EXPECT_EQ(presented_token("", "Basic aDpo"), "");
    EXPECT_EQ(presented_token("", "Bearerh"), "");
}

const std::vector<std::string> kAllowed = {"http://localhost:3000", "https://board.example", "null"};

TEST(AdmitsOrigin, LetsProgramsIn) {
    EXPECT_TRUE(admits_origin("", "board.local:8004", "", kAllowed));
}

TEST(AdmitsOrigin, LetsListedOriginsIn) {
    EXPECT_TRUE(admits_origin("http://localhost:3000", "board.local:8004", "", kAllowed));
    EXPECT_FALSE(admits_origin("http://localhost:3001", "board.local:8004", "", kAllowed));
    EXPECT_FALSE(admits_origin("http://board.example", "board.local:8004", "", kAllowed));
    EXPECT_FALSE(admits_origin("https://board.example.evil.test", "board.local:8004", "", kAllowed));
}

TEST(AdmitsOrigin, LetsItsOwnPageIn) {
    EXPECT_TRUE(admits_origin("http://board.local:8004", "board.local:8004", "", {}));
    EXPECT_TRUE(admits_origin("http://Board.local", "board.LOCAL", "", {}));
    EXPECT_TRUE(admits_origin("http://board.local", "board.local:80", "", {}));
    EXPECT_TRUE(admits_origin("https://board.local", "board.local", "", {}));
    EXPECT_TRUE(admits_origin("https://board.local", "board.local:443", "", {}));
    EXPECT_TRUE(admits_origin("http://[::1]:8004", "[::1]:8004", "", {}));
}

TEST(AdmitsOrigin, RefusesOthersOfTheSameName) {
    EXPECT_FALSE(admits_origin("http://board.local:8005", "board.local:8004", "", {}));
    EXPECT_FALSE(admits_origin("http://board.local", "board.local:443", "", {}));
    EXPECT_FALSE(admits_origin("https://board.local", "board.local:80", "", {}));
    EXPECT_FALSE(admits_origin("http://evil.test/board.local", "board.local", "", {}));
    EXPECT_FALSE(admits_origin("http://board.local@evil.test", "board.local", "", {}));
    EXPECT_FALSE(admits_origin("chrome-extension://board.local", "board.local", "", {}));
}

TEST(AdmitsOrigin, RefusesNullAndNoise) {
    EXPECT_FALSE(admits_origin("null", "null", "", kAllowed));
    EXPECT_FALSE(admits_origin("http://", "", "", {}));
    EXPECT_FALSE(admits_origin("board.local", "board.local", "", {}));
}

TEST(AdmitsOrigin, HoldsTheSchemeThatATrustedProxyNames) {
    EXPECT_TRUE(admits_origin("https://board.local", "board.local", "https", {}));
    EXPECT_TRUE(admits_origin("https://board.local", "board.local", "http, WSS", {}));
    EXPECT_FALSE(admits_origin("http://board.local", "board.local", "https", {}));
    EXPECT_FALSE(admits_origin("https://board.local", "board.local", "ws", {}));
}

TEST(BoardId, IsDecoded) {
    EXPECT_EQ(board_id_of("demo"), "demo");
    EXPECT_EQ(board_id_of("a%20b%2Fc+d"), "a b/c+d");
    EXPECT_EQ(board_id_of("%F0%9F%93%8C"), "📌");
}

TEST(BoardId, IsBounded) {
    EXPECT_EQ(board_id_of(""), std::nullopt);
    EXPECT_EQ(board_id_of(std::string(256, 'x')), std::string(256, 'x'));
    EXPECT_EQ(board_id_of(std::string(257, 'x')), std::nullopt);

    std::string encoded;
    for (int byte = 0; byte < 256; ++byte) {
        encoded += "%78";
    }
    EXPECT_EQ(board_id_of(encoded), std::string(256, 'x'));
    EXPECT_EQ(board_id_of(encoded + "%78"), std::nullopt);
}

TEST(BoardId, RefusesWhatIsNotUtf8) {
    for (const auto segment : {"%FF", "%C3", "%ED%A0%80", "%C0%AF", "%", "%4", "%zz", "a/b"}) {
        EXPECT_EQ(board_id_of(segment), std::nullopt) << segment;
    }
}

}  // namespace
}  // namespace boardbus::web
