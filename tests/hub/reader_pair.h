// A reader whose other end the test holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "hub/hub.h"
#include "hub/shard.h"

namespace boardbus::hub {

/// Both ends of a non-blocking stream.
struct SocketPair {
    SocketPair() {
        int pair[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ours = UniqueFd(pair[0]);
        theirs = UniqueFd(pair[1]);
    }

    std::string read() const { return read_up_to(SIZE_MAX); }

    std::string read_up_to(std::size_t most) const {
        std::string text;
        char buffer[4096];
        ssize_t size = 0;
        while (text.size() < most &&
               (size = ::recv(theirs.get(), buffer, std::min(sizeof buffer, most - text.size()), MSG_DONTWAIT)) > 0) {
            text.append(buffer, static_cast<std::size_t>(size));
        }
        return text;
    }

    UniqueFd ours;
    UniqueFd theirs;
};

class TestReader final : public Reader {
  public:
    TestReader(Loop& loop, Shard& shard, Form form, SocketPair pair = {})
        : Reader(shard, std::move(pair.ours), form), loop_(loop), theirs_(std::move(pair)) {
        loop_.add(fd(), EPOLLIN, *this);
    }
    ~TestReader() { loop_.remove(fd(), *this); }

    void on_ready(std::uint32_t events) override {
        if ((events & EPOLLOUT) != 0) {
            shard().on_writable(*this);
        }
    }
    void on_trouble(Trouble trouble) override { troubles.push_back(trouble); }
    void on_notice(std::string_view, const EncodedNotice& notice) override {
        if (notice.kind == Notice::Kind::cut) {
            cut = true;
            shard().leave(*this);
        }
    }

    std::string read() const { return theirs_.read(); }
    SocketPair& pair() { return theirs_; }

    std::vector<Trouble> troubles;
    bool cut = false;

  private:
    Loop& loop_;
    SocketPair theirs_;
};

}  // namespace boardbus::hub
