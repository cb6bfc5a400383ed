// SPDX-License-Identifier: Apache-2.0
#include "web/http_request.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <utility>

namespace boardbus::web {

namespace {

// Beast asserts that a message's last chunk, when it comes in pieces, is looked at again with five bytes or more.
constexpr std::size_t kLastChunkBytes = 5;  // "0\r\n\r\n"

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

std::string_view view(BeastView text) {
    return {text.data(), text.size()};
}

char lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter;
}

bool is_digit(char letter) {
    return letter >= '0' && letter <= '9';
}

HttpEvent failure(int status, std::string_view detail) {
    return {HttpEvent::Kind::failure, status, detail};
}

/// Does the request line name a version that HTTP could have, like HTTP/2.0? Then it is 505, else 400.
bool names_version(std::string_view request_line) {
    const auto after_space = [](std::string_view text) {
        return text.substr(std::min(text.find(' '), text.size() - 1) + 1);
    };
    const auto version = after_space(after_space(request_line)).substr(0, 9);
    return version.size() >= 8 && version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' &&
           is_digit(version[7]) && (version.size() == 8 || version[8] == '\r');
}

/// Spec: RFC 9112 §3.2, without the authority-form, which only CONNECT has.
bool is_target(std::string_view target) {
    const auto begins = [target](std::string_view scheme) {
        return equals_ignoring_case(target.substr(0, scheme.size()), scheme);
    };
    const bool known_form = target.starts_with('/') || target == "*" || begins("http://") || begins("https://");
    return known_form && target.find('#') == std::string_view::npos;
}

/// Folded lines are obsolete, and two parsers that read them differently can be played against each other.
/// Spec: RFC 9112 §5.2.
bool has_folded_line(std::string_view lines) {
    for (auto at = lines.find('\n'); at != std::string_view::npos && at + 1 < lines.size();
         at = lines.find('\n', at + 1)) {
        if (lines[at + 1] == ' ' || lines[at + 1] == '\t') {
            return true;
        }
    }
    return false;
}

HttpEvent failure_for(const error_code& error, std::string_view input) {
    if (error == http::error::header_limit) {
        return failure(431, "request headers too large");
    }
    if (error == http::error::body_limit) {
        return failure(413, "request body too large");
    }
    if (error == http::error::bad_version && names_version(input)) {
        return failure(505, "HTTP version not supported");
    }
    return failure(400, "malformed request");
}

}  // namespace

std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
    for (const auto& one : headers) {
        if (equals_ignoring_case(one.name, name)) {
            return one.value;
        }
    }
    return std::nullopt;
}

std::string HttpRequest::joined_header(std::string_view name) const {
    std::string joined;
    for (const auto& one : headers) {
        if (equals_ignoring_case(one.name, name)) {
            joined.append(joined.empty() ? "" : ", ").append(one.value);
        }
    }
    return joined;
}

bool HttpRequest::header_has_token(std::string_view name, std::string_view token) const {
    return std::ranges::any_of(headers, [&](const Header& one) {
        return equals_ignoring_case(one.name, name) && any_list_element(one.value, [&](std::string_view element) {
                   return equals_ignoring_case(element, token);
               });
    });
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char left, char right) { return lower(left) == lower(right); });
}

/// Beast's grammar, writing into our request, with our rules on top.
class HttpInput::Parser final : public http::basic_parser<true> {
  public:
    explicit Parser(std::size_t body_bytes_max) {
        header_limit(kHttpHeaderBytesMax);
        body_limit(body_bytes_max);
        request_.headers.reserve(16);  // Most requests have fewer, and each step of growth moves them all.
    }

    HttpEvent feed(std::span<char>& bytes);
    HttpRequest& request() { return request_; }

  private:
    HttpEvent parse(std::string_view& input);
    void refuse(HttpEvent why, error_code& error);

    void on_request_impl(http::verb, BeastView method, BeastView target, int version, error_code& error) override;
    void on_field_impl(http::field field, BeastView name, BeastView value, error_code& error) override;
    void on_header_impl(error_code& error) override;
    std::size_t on_body_impl(BeastView body, error_code& error) override;
    std::size_t on_chunk_body_impl(std::uint64_t remain, BeastView body, error_code& error) override;

    void on_response_impl(int, BeastView, int, error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
    void on_finish_impl(error_code&) override {}

    HttpRequest request_;
    std::string pending_;  // What Beast could not use yet. Bound: kHttpHeaderBytesMax between calls.
    std::size_t header_bytes_ = 0;
    int hosts_ = 0;
    bool continue_wanted_ = false;
    HttpEvent refusal_;
};

HttpEvent HttpInput::Parser::feed(std::span<char>& bytes) {
    std::string_view input(bytes.data(), bytes.size());
    const bool was_pending = !pending_.empty();
    if (was_pending) {
        input = pending_.append(input);
    }
    auto event = parse(input);
    if (event.kind == HttpEvent::Kind::request) {
        // Without the last bytes the request was not whole, so what is left is part of them.
        bytes = bytes.last(input.size());
        return event;
    }
    bytes = {};
    if (event.kind == HttpEvent::Kind::failure) {
        return event;
    }
    if (was_pending) {
        pending_.erase(0, pending_.size() - input.size());
    } else {
        pending_.assign(input);
    }
    if (is_header_done() && pending_.size() > kHttpHeaderBytesMax) {
        return failure(400, "chunk header or trailer too large");
    }
    if (is_header_done() && request_.body.empty() && std::exchange(continue_wanted_, false)) {
        event.kind = HttpEvent::Kind::send_continue;
    }
    return event;
}

/// Shortens `input` by what was used.
HttpEvent HttpInput::Parser::parse(std::string_view& input) {
    while (!is_done() && !input.empty()) {
        const bool in_header = !is_header_done();
        if (!in_header && chunked() && input.size() < kLastChunkBytes) {
            break;
        }
        error_code error;
        const auto used = put(boost::asio::const_buffer(input.data(), input.size()), error);
        if (in_header) {
            header_bytes_ += used;
            if (header_bytes_ > kHttpHeaderBytesMax) {
                return failure(431, "request headers too large");
            }
            if (has_folded_line(input.substr(0, used))) {
                return failure(400, "folded header line");
            }
        }
        if (refusal_.kind != HttpEvent::Kind::none) {
            return refusal_;
        }
        if (error && error != http::error::need_more) {
            return failure_for(error, input);
        }
        input.remove_prefix(used);
        if (error) {
            break;
        }
    }
    if (!is_header_done() && header_bytes_ + input.size() > kHttpHeaderBytesMax) {
        return failure(431, "request headers too large");
    }
    return {is_done() ? HttpEvent::Kind::request : HttpEvent::Kind::none, 0, {}};
}

void HttpInput::Parser::refuse(HttpEvent why, error_code& error) {
    refusal_ = why;
    error = http::error::bad_value;
}

void HttpInput::Parser::on_request_impl(http::verb, BeastView method, BeastView target, int version,
                                        error_code& error) {
    if (!is_target(view(target))) {
        return refuse(failure(400, "malformed request target"), error);
    }
    request_.method = view(method);
    request_.target = view(target);
    request_.version = version;
}

void HttpInput::Parser::on_field_impl(http::field field, BeastView name, BeastView value, error_code& error) {
    if (is_header_done()) {
        return;  // A trailer: nobody asked for it. Spec: RFC 9110 §6.5.1.
    }
    if (request_.headers.size() == kHttpHeadersMax) {
        return refuse(failure(431, "too many request headers"), error);
    }
    switch (field) {
        case http::field::host:
            ++hosts_;
            break;
        case http::field::transfer_encoding:
            if (request_.version < 11) {
                return refuse(failure(400, "Transfer-Encoding in HTTP/1.0"), error);
            }
            if (!equals_ignoring_case(view(value), "chunked")) {
                return refuse(failure(501, "unknown Transfer-Encoding"), error);
            }
            break;
        case http::field::expect:
            if (!equals_ignoring_case(view(value), "100-continue")) {
                return refuse(failure(417, "unknown expectation"), error);
            }
            continue_wanted_ = request_.version == 11;
            break;
        default:
            break;
    }
    request_.headers.push_back({std::string(view(name)), std::string(view(value))});
}

void HttpInput::Parser::on_header_impl(error_code& error) {
    // Spec: RFC 9112 §3.2.
    if (hosts_ > 1 || (hosts_ == 0 && request_.version == 11)) {
        return refuse(failure(400, hosts_ == 0 ? "no Host header" : "several Host headers"), error);
    }
    request_.keep_alive = request_.version == 11 && keep_alive();
}

std::size_t HttpInput::Parser::on_body_impl(BeastView body, error_code&) {
    request_.body.append(view(body));
    return body.size();
}

std::size_t HttpInput::Parser::on_chunk_body_impl(std::uint64_t, BeastView body, error_code&) {
    request_.body.append(view(body));
    return body.size();
}

HttpInput::HttpInput() = default;
HttpInput::~HttpInput() = default;

HttpEvent HttpInput::next(std::span<char>& bytes, std::size_t body_bytes_max, HttpRequest& out) {
    if (failed_) {
        bytes = {};
        return {};
    }
    if (!parser_) {
        // Empty lines before a request are left over from an old client's last body. Spec: RFC 9112 §2.2.
        while (!bytes.empty() && (bytes.front() == '\r' || bytes.front() == '\n')) {
            bytes = bytes.subspan(1);
        }
        if (bytes.empty()) {
            return {};
        }
        parser_ = std::make_unique<Parser>(body_bytes_max);
    }
    const auto event = parser_->feed(bytes);
    if (event.kind == HttpEvent::Kind::request) {
        out = std::move(parser_->request());
        parser_.reset();
    } else if (event.kind == HttpEvent::Kind::failure) {
        failed_ = true;
        parser_.reset();
    }
    return event;
}

}  // namespace boardbus::web
