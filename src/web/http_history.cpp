// GET /boards/{board_id}/history: a board's recent events, page by page into the past.
// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "base/clock.h"
#include "board/json_text.h"
#include "web/admission.h"
#include "web/edge.h"
#include "web/http_connection.h"

namespace boardbus::web {
namespace {

constexpr std::uint64_t kLimitDefault = 100;
constexpr std::uint64_t kLimitMax = 1'000;

/// One query parameter that is a whole number, or the entry of a 422's list that says why not (texts of pydantic 2).
struct Number {
    std::string_view name;
    std::uint64_t least;
    std::uint64_t most;
    std::uint64_t value;

    std::string read(const std::string& text) {
        if (text.empty()) {
            return {};
        }
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
            return problem("Input should be a valid integer, unable to parse string as an integer", "int_parsing");
        }
        const bool below = error == std::errc() && number < static_cast<std::int64_t>(least);
        if (below || text.front() == '-') {
            return problem("Input should be greater than or equal to " + std::to_string(least), "greater_than_equal");
        }
        if (error != std::errc() || static_cast<std::uint64_t>(number) > most) {
            return problem("Input should be less than or equal to " + std::to_string(most), "less_than_equal");
        }
        value = static_cast<std::uint64_t>(number);
        return {};
    }

    std::string problem(const std::string& text, std::string_view type) const {
        return R"({"loc":["query",")" + std::string(name) + R"("],"msg":")" + text + R"(","type":")" +
               std::string(type) + "\"}";
    }
};

std::string page_json(std::string_view board, const hub::PastEvents& past) {
    std::string json = R"({"board":)";
    board::json::append_quoted(json, board);
    json += R"(,"epoch":)";
    board::json::append_quoted(json, past.page.epoch);
    json += R"(,"events":[)";
    for (const std::string& event : past.events) {
        json += event;
        json += ',';
    }
    if (!past.events.empty()) {
        json.pop_back();
    }
    const auto& events = past.page.events;
    const std::uint64_t oldest = events.empty() ? 0 : events.front().position->seq;
    const bool more = !events.empty() && oldest > past.page.first;
    json += R"(],"first_seq":)" + std::to_string(past.page.first) + R"(,"last_seq":)" + std::to_string(past.page.last) +
            R"(,"next_before_seq":)" + (more ? std::to_string(oldest) : "null") + '}';
    return json;
}

}  // namespace

void HttpConnection::show_history() {
    auto board = board_id_of(match_.board);
    if (!board) {
        fail_with(404, "Not Found");
        return;
    }
    if (!has_token()) {
        edge_.services().metrics.authentication_failed();
        fail_with(401, "Invalid or missing token");
        return;
    }
    constexpr auto kSeqMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    Number limit{.name = "limit", .least = 1, .most = kLimitMax, .value = kLimitDefault};
    Number before{
        .name = "before_seq", .least = 1, .most = kSeqMax, .value = std::numeric_limits<std::uint64_t>::max()};
    const std::string problem = limit.read(query_value(query_, "limit"));
    const std::string other = before.read(query_value(query_, "before_seq"));
    if (!problem.empty() || !other.empty()) {
        const std::string body =
            R"({"detail":[)" + problem + (problem.empty() || other.empty() ? "" : ",") + other + "]}";
        reply({.status = 422, .body = body});
        return;
    }
    boards_.assign(1, *board);
    set_state(State::remembering);
    edge_.read_past(*this, std::move(*board), before.value, limit.value);
}

void HttpConnection::on_past(Result<hub::SharedPast> past) {
    if (past) {
        const std::string body = page_json(boards_.front(), **past);
        reply({.body = body});
    } else {
        const std::string body = detail_json("History is not available");
        reply({.status = 503, .body = body, .headers = {{"Retry-After", "1"}}});
    }
    resume();
}

}  // namespace boardbus::web
