// See pages.h.
// SPDX-License-Identifier: Apache-2.0
#include "web/pages.h"

#include <algorithm>
#include <utility>

#include "web/http_request.h"

namespace boardbus::web {
namespace {

using Values = std::initializer_list<std::pair<std::string_view, std::string_view>>;

void append_escaped(std::string& out, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '&':
                out.append("&amp;");
                break;
            case '<':
                out.append("&lt;");
                break;
            case '>':
                out.append("&gt;");
                break;
            case '"':
                out.append("&quot;");
                break;
            case '\'':
                out.append("&#39;");
                break;
            default:
                out.push_back(c);
        }
    }
}

/// Puts the escaped values where {{name}} stands, in one pass, so that a value that looks like a placeholder stays a
/// value.
std::string render(std::string_view source, Values values) {
    std::string out;
    out.reserve(source.size() + 256);
    while (true) {
        const auto begin = source.find("{{");
        const auto end = source.find("}}", begin);
        if (end == std::string_view::npos) {
            return out.append(source);
        }
        const auto name = source.substr(begin + 2, end - begin - 2);
        out.append(source.substr(0, begin));
        const auto value =
            std::find_if(values.begin(), values.end(), [&](const auto& pair) { return pair.first == name; });
        if (value != values.end()) {
            append_escaped(out, value->second);
        }
        source.remove_prefix(end + 2);
    }
}

std::string render_index(const Options& options, std::string_view hint) {
    return render(embedded_pages().index,
                  {{"project_name", options.project_name},
                   {"reconnect_initial_ms", std::to_string(options.reconnect_initial_delay.count())},
                   {"reconnect_max_ms", std::to_string(options.reconnect_max_delay.count())},
                   {"activity_channel", options.activity_channel},
                   {"board_channel", options.board_channel},
                   {"token_hint", hint}});
}

}  // namespace

Pages::Pages(const Options& options)
    : plain_(render_index(options, "")),
      hinted_(options.token == kDefaultToken ? render_index(options, kDefaultToken) : plain_) {}

std::optional<Asset> Pages::find(std::string_view path) const {
    const auto assets = embedded_pages().assets;
    const auto asset = std::find_if(assets.begin(), assets.end(), [&](const Asset& one) { return one.path == path; });
    return asset == assets.end() ? std::nullopt : std::optional(*asset);
}

const std::string& Pages::index(const Address& client, Forwarded forwarded) const {
    return client.is_loopback() && forwarded == Forwarded::no ? hinted_ : plain_;
}

bool matches_etag(std::string_view if_none_match, std::string_view etag) {
    return any_list_element(if_none_match, [&](std::string_view one) {
        // A proxy that compressed the file has made its tag a weak one.
        return one == "*" || one == etag || (one.starts_with("W/") && one.substr(2) == etag);
    });
}

}  // namespace boardbus::web
