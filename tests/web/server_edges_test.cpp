// Two edges on two loops behind one port, as in the program.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <atomic>
#include <thread>

#include "web/edge_fixture.h"

namespace boardbus::web {
namespace {

using testing::HasSubstr;

/// A blocking client with a deadline.
class TcpClient {
  public:
    explicit TcpClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        const timeval limit{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }

    void send(std::string_view bytes) {
        EXPECT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    }

    /// Everything up to the `count`th appearance of `text`, counted from the start of the connection.
    const std::string& until(std::string_view text, int count = 1) {
        const auto appearances = [&] {
            int found = 0;
            for (auto at = received_.find(text); at != std::string::npos; at = received_.find(text, at + 1)) {
                ++found;
            }
            return found;
        };
        char buffer[4096];
        while (appearances() < count) {
            const ssize_t size = ::recv(fd_.get(), buffer, sizeof buffer, 0);
            if (size <= 0) {
                ADD_FAILURE() << "ended before \"" << text << "\"";
                break;
            }
            received_.append(buffer, static_cast<std::size_t>(size));
        }
        return received_;
    }

  private:
    UniqueFd fd_;
    std::string received_;
};

class ServerTest : public EdgeTest {
  protected:
    ServerTest() {
        auto listener = open_listener("127.0.0.1", 0, Door::first);
        port = bound_port(listener->get());
        first.listen(std::move(*listener));
        second.listen(std::move(*open_listener("127.0.0.1", port)));
        bus_thread = std::thread([this] { loop.run(); });
        other_thread = std::thread([this] { other_loop.run(); });
    }

    ~ServerTest() override {
        loop.stop();
        other_loop.stop();
        bus_thread.join();
        other_thread.join();
    }

    Loop other_loop;
    Edge first{loop, options, services};
    Edge second{other_loop, options, services};
    std::uint16_t port = 0;
    std::thread bus_thread;
    std::thread other_thread;
};

TEST_F(ServerTest, ReadersOfAllLoopsSeeAllEventsOfTheirBoardInOneOrder) {
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (int i = 0; i < 16; ++i) {
        clients.push_back(std::make_unique<TcpClient>(port));
        clients.back()->send(handshake("/ws/boards/b1?token=secret"));
        clients.back()->until("\r\n\r\n");
    }

    for (int i = 0; i < 16; ++i) {
        clients[static_cast<std::size_t>(i)]->send(client_frame(R"({"action":"from )" + std::to_string(i) + R"("})"));
    }

    const auto order = [](const std::string& text) {
        std::string actions;
        for (auto at = text.find("from "); at != std::string::npos; at = text.find("from ", at + 1)) {
            actions += text.substr(at, text.find('"', at) - at) + ",";
        }
        return actions;
    };
    const std::string expected = order(clients[0]->until(R"("active_connections":16)", 16));
    for (const auto& client : clients) {
        EXPECT_EQ(order(client->until(R"("active_connections":16)", 16)), expected);
    }
}

TEST_F(ServerTest, DrainsBothLoops) {
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (int i = 0; i < 8; ++i) {
        clients.push_back(std::make_unique<TcpClient>(port));
        clients.back()->send(handshake("/ws/boards/b1?token=secret"));
        clients.back()->until("\r\n\r\n");
    }
    std::atomic<int> done = 0;

    loop.post([&] { first.drain(std::chrono::seconds(5), [&] { ++done; }); });
    other_loop.post([&] { second.drain(std::chrono::seconds(5), [&] { ++done; }); });

    for (const auto& client : clients) {
        client->until("\x03\xe9the server is going away");
    }
    clients.clear();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    while (done < 2 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    EXPECT_EQ(done, 2);
}

TEST(Listener, NamesThePortThatIsTakenAlsoByOneOfItsKind) {
    const auto first = open_listener("127.0.0.1", 0, Door::first);
    ASSERT_TRUE(first.has_value());
    const std::uint16_t taken = bound_port(first->get());

    const auto second = open_listener("127.0.0.1", taken, Door::first);

    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().detail, "127.0.0.1:" + std::to_string(taken) + ": Address already in use");
}

TEST(Listener, NamesTheHostThatIsNone) {
    const auto none = open_listener("no.such.host.invalid", 1);

    ASSERT_FALSE(none.has_value());
    EXPECT_THAT(none.error().detail, HasSubstr("no.such.host.invalid:1: "));
}

}  // namespace
}  // namespace boardbus::web
