// SPDX-License-Identifier: Apache-2.0
#include "transport/http_answer.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace boardbus::transport {
namespace {

constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool same_name(std::string_view a, std::string_view lower) {
    return std::ranges::equal(a, lower, [](char left, char right) {
        return (left >= 'A' && left <= 'Z' ? static_cast<char>(left + 32) : left) == right;
    });
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<std::uint64_t> decimal(std::string_view digits) {
    std::uint64_t number = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return code == std::errc() && end == digits.data() + digits.size() ? std::optional(number) : std::nullopt;
}

}  // namespace

Result<bool> HttpAnswer::feed(std::string_view bytes) {
    begun_ = begun_ || !bytes.empty();
    while (!in_body_) {
        const std::size_t had = head_.size();
        head_.append(bytes.substr(0, kHeadBytesMax + 1 - std::min(kHeadBytesMax, head_bytes_ + had)));
        const auto end = head_.find(kHeadEnd, had < kHeadEnd.size() ? 0 : had - kHeadEnd.size() + 1);
        if (end == head_.npos) {
            if (head_bytes_ + head_.size() > kHeadBytesMax) {
                return fail(Errc::invalid, "an HTTP answer with too long a head");
            }
            return false;
        }
        bytes.remove_prefix(end + kHeadEnd.size() - had);
        head_bytes_ += end + kHeadEnd.size();
        head_.resize(end + 2);
        if (auto read = read_head(head_); !read) {
            return std::unexpected(read.error());
        }
        head_.clear();
        // 100 to 199 announce the answer proper.
        in_body_ = status_ >= 200;
    }
    if (bytes.size() > missing_) {
        // Nobody has asked for what comes behind.
        reusable_ = false;
    }
    missing_ -= std::min(missing_, bytes.size());
    return missing_ == 0;
}

/// `head` ends with the line end of its last line.
Result<void> HttpAnswer::read_head(std::string_view head) {
    framed_ = true;
    length_.reset();
    retry_after_.reset();
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const auto status = decimal(line.substr(std::min<std::size_t>(line.size(), 9), 3));
    const bool is_known = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
    if (!is_known || !status || *status < 100 || *status > 599 || *status == 101 ||
        (line.size() > 12 && line[12] != ' ')) {
        return fail(Errc::invalid, "no HTTP/1 answer");
    }
    status_ = static_cast<int>(*status);
    reusable_ = line.starts_with("HTTP/1.1 ");
    for (std::string_view rest = head.substr(line.size() + 2); !rest.empty();) {
        const std::string_view field = rest.substr(0, rest.find("\r\n"));
        rest.remove_prefix(field.size() + 2);
        const auto colon = field.find(':');
        if (colon == field.npos) {
            return fail(Errc::invalid, "an HTTP answer whose head holds no header");
        }
        read_field(field.substr(0, colon), trimmed(field.substr(colon + 1)));
    }
    const bool is_empty = status_ < 200 || status_ == 204 || status_ == 304;
    missing_ = is_empty ? 0 : length_.value_or(0);
    if (!is_empty && (!framed_ || !length_ || missing_ > kBodyBytesMax)) {
        reusable_ = false;
        missing_ = 0;
    }
    return {};
}

void HttpAnswer::read_field(std::string_view name, std::string_view value) {
    if (same_name(name, "content-length")) {
        const auto length = decimal(value);
        framed_ = framed_ && length && !length_;
        length_ = length;
    } else if (same_name(name, "transfer-encoding")) {
        framed_ = false;
    } else if (same_name(name, "connection")) {
        // `keep-alive` is what HTTP/1.1 does anyway; whatever else it says, a new connection is right.
        reusable_ = reusable_ && same_name(value, "keep-alive");
    } else if (same_name(name, "retry-after")) {
        if (const auto seconds = decimal(value)) {
            retry_after_ = std::chrono::seconds(std::min<std::uint64_t>(*seconds, 3600));
        }
    }
}

}  // namespace boardbus::transport
