// SPDX-License-Identifier: Apache-2.0
#include "web/ws_handshake.h"

#include <gtest/gtest.h>

#include "web/ws_client_frames.h"

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

void set_header(HttpRequest& request, std::string_view name, std::string value) {
    std::ranges::find(request.headers, name, &HttpRequest::Header::name)->value = std::move(value);
}

/// The status that the handshake would get with this header changed.
int status_with(std::string_view name, std::string value) {
    auto request = handshake();
    set_header(request, name, std::move(value));
    const auto checked = check_upgrade(request);
    return checked ? 101 : checked.error().status;
}

TEST(WebsocketAccept, IsThatOfRfc6455Section1_3) {
    EXPECT_EQ(websocket_accept(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(CheckUpgrade, GivesTheKeyOfACorrectHandshake_Rfc6455Section4_2_1) {
    const auto request = handshake();

    EXPECT_EQ(check_upgrade(request).value(), kKey);
}

TEST(CheckUpgrade, ReadsTokenLists_Rfc6455Section4_2_1) {
    EXPECT_EQ(status_with("Connection", "keep-alive, upGRADE"), 101);
    EXPECT_EQ(status_with("Upgrade", "h2c , WebSocket"), 101);
    EXPECT_EQ(status_with("Upgrade", "websockets"), 426);
    EXPECT_EQ(status_with("Upgrade", ""), 426);
    EXPECT_EQ(status_with("Connection", "keep-alive"), 426);
}

TEST(CheckUpgrade, WantsVersion13_Rfc6455Section4_4) {
    EXPECT_EQ(status_with("Sec-WebSocket-Version", "8"), 426);
    EXPECT_EQ(status_with("Sec-WebSocket-Version", "013"), 426);
    EXPECT_EQ(status_with("Sec-WebSocket-Version", "13, 8"), 426);
}

TEST(CheckUpgrade, WantsAKeyOf16Bytes_Rfc6455Section4_2_1) {
    EXPECT_EQ(status_with("Sec-WebSocket-Key", ""), 400);
    EXPECT_EQ(status_with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ="), 400);
    EXPECT_EQ(status_with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWE="), 400);
    EXPECT_EQ(status_with("Sec-WebSocket-Key", "dGhlIHNhbXBs*SBub25jZQ=="), 400);

    auto twice = handshake();
    twice.headers.push_back({"sec-websocket-key", std::string(kKey)});
    EXPECT_EQ(check_upgrade(twice).error().status, 400);
}

TEST(CheckUpgrade, WantsAGetOfHttp11_Rfc6455Section4_2_1) {
    auto post = handshake();
    post.method = "POST";
    auto old = handshake();
    old.version = 10;

    EXPECT_EQ(check_upgrade(post).error().status, 400);
    EXPECT_EQ(check_upgrade(old).error().status, 400);
}

TEST(OffersSubprotocol, ReadsAllHeadersAndMindsTheCase_Rfc6455Section11_3_4) {
    auto request = handshake();
    request.headers.push_back({"Sec-WebSocket-Protocol", "chat, superchat"});
    request.headers.push_back({"sec-websocket-protocol", "boardbus.v1"});

    EXPECT_TRUE(offers_subprotocol(request, "boardbus.v1"));
    EXPECT_TRUE(offers_subprotocol(request, "superchat"));
    EXPECT_FALSE(offers_subprotocol(request, "Boardbus.v1"));
    EXPECT_FALSE(offers_subprotocol(request, "boardbus"));
}

TEST(UpgradeResponse, IsThatOfRfc6455Section4_2_2) {
    EXPECT_EQ(upgrade_response(kKey),
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    EXPECT_EQ(upgrade_response(kKey, "boardbus.v1", "permessage-deflate", "X: y\r\n"),
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: boardbus.v1\r\n"
              "Sec-WebSocket-Extensions: permessage-deflate\r\nX: y\r\n\r\n");
}

TEST(Handshake, LeavesFramesThatCameWithItToTheCodec) {
    std::string stream =
        "GET /ws/boards/b1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream += client_frame(0x81, "at once") + client_frame(0x89, "p");
    std::span<char> bytes(stream);
    HttpRequest request;
    WsInput frames;

    ASSERT_EQ(HttpInput().next(bytes, 0, request).kind, HttpEvent::Kind::request);
    EXPECT_EQ(check_upgrade(request).value(), kKey);

    const WsRules rules{.message_bytes_max = 100};
    EXPECT_EQ(to_text(frames.next(bytes, rules)), "text at once");
    EXPECT_EQ(to_text(frames.next(bytes, rules)), "ping p");
}

}  // namespace
}  // namespace boardbus::web
