// Who may come in: tokens, browser origins, board names.
//
// Pure decisions on texts that the client sent. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace boardbus::web {

/// The token that opens the door, kept as its digest.
class TokenCheck {
  public:
    explicit TokenCheck(std::string_view token);

    /// Compares digests in constant time, so that neither content nor length leaks. An empty text never matches.
    bool matches(std::string_view presented) const;

  private:
    std::array<std::uint8_t, 32> digest_;
};

/// The last value of `name` in a query string (without `?`), form-decoded: `+` is a space, a broken escape stays as it
/// is. "" when absent.
std::string query_value(std::string_view query, std::string_view name);

/// All values of `name`, in order. Bound: at most `most`, the rest is dropped.
std::vector<std::string> query_values(std::string_view query, std::string_view name, std::size_t most);

/// The token that the request presents: a `?token=` that is not empty decides alone, else `Authorization: Bearer`. ""
/// when none.
std::string presented_token(std::string_view query, std::string_view authorization);

/// Is `origin` one of the list? "null" never is.
bool is_listed_origin(std::string_view origin, const std::vector<std::string>& allowed);

/// May this WebSocket handshake proceed? Yes without an Origin (no browser), for a listed one, and for the server's
/// own: same host and port as `host`, http or https. When a trusted proxy sent X-Forwarded-Proto (`forwarded_proto`,
/// else ""), the scheme must agree.
bool admits_origin(std::string_view origin, std::string_view host, std::string_view forwarded_proto,
                   const std::vector<std::string>& allowed);

/// The board named by one raw path segment: percent-decoded UTF-8, 1 to 256 bytes. None: answer 404.
std::optional<std::string> board_id_of(std::string_view segment);

}  // namespace boardbus::web
