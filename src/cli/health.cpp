// `boardbus health`: one GET to /readyz or /healthz, for the HEALTHCHECK of a container that has no curl.
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/options_table_rules.h"
#include "cli/plain_socket.h"

namespace boardbus::cli {
namespace {

constexpr int kAskAgainMs = 100;
constexpr std::size_t kBodyMost = 64 * 1024;

struct Answer {
    int status = 0;
    std::string body;
};

Result<Answer> ask(const HealthOptions& options) {
    const Deadline deadline = std::chrono::steady_clock::now() + options.timeout;
    const auto url = parse_http_url(options.url);
    if (!url) {
        return std::unexpected(url.error());
    }
    auto socket = PlainSocket::connect(*url, deadline);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const std::string request =
        "GET " + url->path + " HTTP/1.1\r\nHost: " + url->authority() + "\r\nConnection: close\r\n\r\n";
    if (auto sent = socket->send(request, deadline); !sent) {
        return std::unexpected(sent.error());
    }
    Answer answer;
    auto head = receive_head(*socket, answer.body, deadline);
    if (!head) {
        return std::unexpected(head.error());
    }
    answer.status = head->status;
    const auto length =
        static_cast<std::size_t>(std::max<std::int64_t>(0, parse_integer(head->header("content-length")).value_or(0)));
    // The status decides; a body that does not come is only missing in the output.
    while (answer.body.size() < std::min(length, kBodyMost) && socket->receive(answer.body, deadline)) {
    }
    return answer;
}

}  // namespace

int run_health(const HealthOptions& options) {
    const Deadline until = std::chrono::steady_clock::now() + options.wait;
    auto answer = ask(options);
    while ((!answer || answer->status != 200) && std::chrono::steady_clock::now() < until) {
        ::poll(nullptr, 0, kAskAgainMs);
        answer = ask(options);
    }
    if (!answer) {
        std::fprintf(stderr, "boardbus: %s: %s\n", options.url.c_str(), answer.error().detail.c_str());
        return 1;
    }
    std::string body = answer->body;
    std::ranges::replace_if(body, [](unsigned char c) { return c < 0x20 || c >= 0x7F; }, '?');
    std::fprintf(answer->status == 200 ? stdout : stderr, "%d %s\n", answer->status, body.c_str());
    return answer->status == 200 ? 0 : 1;
}

}  // namespace boardbus::cli
