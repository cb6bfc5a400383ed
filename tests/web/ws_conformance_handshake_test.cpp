// RFC 6455 §4.2 and §9.1: which requests become a WebSocket, and which status the others get.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <optional>

#include "web/ws_client_frames.h"
#include "web/ws_handshake.h"

namespace boardbus::web {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

HttpRequest handshake() {
    HttpRequest request;
    request.method = "GET";
    request.target = "/ws/boards/b1";
    request.headers = {{"Host", "localhost"},
                       {"Upgrade", "websocket"},
                       {"Connection", "Upgrade"},
                       {"Sec-WebSocket-Key", std::string(kKey)},
                       {"Sec-WebSocket-Version", "13"}};
    return request;
}

int status_of(const HttpRequest& request) {
    const auto checked = check_upgrade(request);
    return checked ? 101 : checked.error().status;
}

/// The status that the handshake gets with this header changed, or left out.
int status_with(std::string_view name, const std::optional<std::string>& value) {
    auto request = handshake();
    std::erase_if(request.headers, [name](const HttpRequest::Header& one) { return one.name == name; });
    if (value) {
        request.headers.push_back({std::string(name), *value});
    }
    return status_of(request);
}

int status_with_another(std::string_view name, std::string_view value) {
    auto request = handshake();
    request.headers.push_back({std::string(name), std::string(value)});
    return status_of(request);
}

TEST(Rfc6455Section4_2_1, ACorrectHandshakeGivesItsKey) {
    const auto request = handshake();
    EXPECT_EQ(check_upgrade(request).value(), kKey);
}

TEST(Rfc6455Section4_2_1, ItIsAGetOfHttp11) {
    for (const std::string_view method : {"POST", "HEAD", "PUT", "get", "CONNECT"}) {
        auto request = handshake();
        request.method = method;
        EXPECT_EQ(status_of(request), 400) << method;
    }
    auto old = handshake();
    old.version = 10;
    EXPECT_EQ(status_of(old), 400);
}

TEST(Rfc6455Section4_2_1, UpgradeListsWebsocketWhateverItsCase) {
    for (const auto* good : {"websocket", "WebSocket", "WEBSOCKET", "h2c , WebSocket", "websocket,foo"}) {
        EXPECT_EQ(status_with("Upgrade", good), 101) << good;
    }
    for (const auto* bad : {"", "websockets", "web socket", "h2c", "websocket/13", "\"websocket\""}) {
        EXPECT_EQ(status_with("Upgrade", bad), 426) << bad;
    }
    EXPECT_EQ(status_with("Upgrade", std::nullopt), 426);
}

TEST(Rfc6455Section4_2_1, ConnectionListsUpgradeWhateverItsCase) {
    for (const auto* good : {"Upgrade", "upgrade", "keep-alive, upGRADE", "Upgrade,close"}) {
        EXPECT_EQ(status_with("Connection", good), 101) << good;
    }
    for (const auto* bad : {"", "keep-alive", "upgraded", "close"}) {
        EXPECT_EQ(status_with("Connection", bad), 426) << bad;
    }
    EXPECT_EQ(status_with("Connection", std::nullopt), 426);
}

TEST(Rfc6455Section4_2_1, TheListsMayStandInSeveralHeaders) {
    auto request = handshake();
    request.headers[1].value = "h2c";
    request.headers[2].value = "keep-alive";
    request.headers.push_back({"upgrade", "websocket"});
    request.headers.push_back({"CONNECTION", "upgrade"});
    EXPECT_EQ(status_of(request), 101);
}

TEST(Rfc6455Section4_2_1, TheKeyIsOneOf16Bytes) {
    EXPECT_EQ(status_with("Sec-WebSocket-Key", "+/+/+/+/+/+/+/+/+/+/+A=="), 101);
    EXPECT_EQ(status_with("Sec-WebSocket-Key", std::nullopt), 400);
    for (const auto* bad : {"", "short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ",
                            "dGhlIHNhbXBsZSBub25jZWE=", "dGhlIHNhbXBsZSBub25jZWFi",
                            "dGhlIHNhbXBs*SBub25jZQ==", "dGhlIHNhbXBs SBub25jZQ==", "dGhlIHNhbXBsZS=ub25jZQ==",
                            "dGhlIHNhbXBsZS-ub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ=="}) {
        EXPECT_EQ(status_with("Sec-WebSocket-Key", bad), 400) << bad;
    }
    EXPECT_EQ(status_with_another("sec-websocket-key", kKey), 400);
}

TEST(Rfc6455Section4_4, AnyVersionBut13IsAnsweredWith426) {
    for (const auto* bad : {"", "0", "7", "8", "12", "14", "013", "13.0", "+13", "13, 8", "8, 13", "13;"}) {
        EXPECT_EQ(status_with("Sec-WebSocket-Version", bad), 426) << bad;
    }
    EXPECT_EQ(status_with("Sec-WebSocket-Version", std::nullopt), 426);
    EXPECT_EQ(status_with_another("sec-websocket-version", "8"), 426);
    EXPECT_EQ(status_with_another("Sec-WebSocket-Version", "13"), 426);
}

TEST(Rfc6455Section9_1, ExtensionsThatBreakTheGrammarAreRefused) {
    for (const auto* good : {"", " ", ",", "a", "a, b", ",a,,b,", "a;b", "a ; b = c", "a;b=\"c\"", R"(a;b="\c\d")",
                             "permessage-deflate; x=1, y", "!#$%&'*+-.^_`|~"}) {
        EXPECT_EQ(status_with("Sec-WebSocket-Extensions", good), 101) << good;
    }
    for (const auto* bad : {"a b",
                            "a;",
                            "a;;b",
                            ";",
                            ";b",
                            "a;b=",
                            "a;=c",
                            "a=b",
                            "a;b=c=d",
                            "a;b=\"\"",
                            "a;b=\"c",
                            "a;b=\"c d\"",
                            "a;b=\"c,d\"",
                            R"(a;b="c\")",
                            R"(a;b="\)",
                            "a;b=\"c\"d",
                            "\"a\"",
                            "a/b",
                            "(a)",
                            "a;b=c/d",
                            "a\xC3\xA9",
                            "permessage-deflate extra",
                            "permessage-deflate;",
                            "permessage-deflate, =",
                            "a\x01"}) {
        EXPECT_EQ(status_with("Sec-WebSocket-Extensions", bad), 400) << bad;
    }
}

TEST(Rfc6455Section9_1, ExtensionsInSeveralHeadersAreOneList) {
    auto request = handshake();
    request.headers.push_back({"Sec-WebSocket-Extensions", "a;b=c"});
    request.headers.push_back({"sec-websocket-extensions", "d"});
    EXPECT_EQ(status_of(request), 101);
    request.headers.push_back({"Sec-WebSocket-Extensions", "e;"});
    EXPECT_EQ(status_of(request), 400);
}

TEST(Rfc6455Section4_2_1, WhatItDoesNotNameIsIgnored) {
    EXPECT_EQ(status_with_another("Sec-WebSocket-Accept", "x"), 101);
    EXPECT_EQ(status_with_another("Sec-WebSocket-Protocol", "chat, superchat"), 101);
    EXPECT_EQ(status_with_another("Cookie", "a=b"), 101);
}

TEST(Rfc6455Section11_3_4, SubprotocolsAreReadFromAllHeadersAndMindTheCase) {
    auto request = handshake();
    request.headers.push_back({"Sec-WebSocket-Protocol", "chat, superchat"});
    request.headers.push_back({"sec-websocket-protocol", "boardbus.v1"});

    EXPECT_TRUE(offers_subprotocol(request, "boardbus.v1"));
    EXPECT_TRUE(offers_subprotocol(request, "superchat"));
    EXPECT_FALSE(offers_subprotocol(request, "Boardbus.v1"));
    EXPECT_FALSE(offers_subprotocol(request, "boardbus"));
}

TEST(Rfc6455Section1_3, TheAcceptKeyIsThatOfTheExample) {
    EXPECT_EQ(websocket_accept(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(Rfc6455Section4_2_2, TheAnswerHasWhatWasAgreedOnAndNothingElse) {
    EXPECT_EQ(upgrade_response(kKey),
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    EXPECT_EQ(upgrade_response(kKey, "boardbus.v1", "permessage-deflate", "X: y\r\n"),
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: boardbus.v1\r\n"
              "Sec-WebSocket-Extensions: permessage-deflate\r\nX: y\r\n\r\n");
}

TEST(Rfc6455Section4_1, FramesThatComeWithTheHandshakeAreNotLostHoweverItIsCut) {
    const std::string stream =
        "GET /ws/boards/b1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
        client_frame(0x81, "at once") + client_frame(0x89, "p");
    const WsRules rules{.message_bytes_max = 100};
    for (std::size_t cut = 1; cut <= stream.size(); ++cut) {
        HttpInput head;
        WsInput frames;
        HttpRequest request;
        bool upgraded = false;
        std::vector<std::string> events;
        for (std::string piece : {stream.substr(0, cut), stream.substr(cut)}) {
            std::span<char> bytes(piece);
            if (!upgraded) {
                upgraded = head.next(bytes, 0, request).kind == HttpEvent::Kind::request;
            }
            for (auto event = frames.next(bytes, rules); event.kind != WsEvent::Kind::none;
                 event = frames.next(bytes, rules)) {
                events.push_back(to_text(event));
            }
        }
        EXPECT_EQ(status_of(request), 101) << cut;
        EXPECT_EQ(events, (std::vector<std::string>{"text at once", "ping p"})) << cut;
    }
}

}  // namespace
}  // namespace boardbus::web
