// The grammar of Sec-WebSocket-Extensions, read from left to right without a copy of the text.
//
// Which extension means what is decided elsewhere (ws_deflate.h). Spec: RFC 6455 §9.1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace boardbus::web {

struct ExtensionParameter {
    std::string_view name;
    std::optional<std::string> value;  ///< Unquoted.
};

/// Reads a list of extensions, first its head, then its parameters:
///
///     while (auto name = reader.next_extension()) { while (auto parameter = reader.next_parameter()) ... }
///
/// Cost: linear in the text, which a request's headers bound. Lifetime: the text's.
class ExtensionReader {
  public:
    explicit ExtensionReader(std::string_view text) : rest_(text) {}

    /// The next extension's name; nothing at the end of the list and where it breaks the grammar. Empty elements of the
    /// list are passed over (RFC 9110 §5.6.1.2).
    std::optional<std::string_view> next_extension();

    /// Its next parameter; nothing behind the last one and where the grammar is broken.
    std::optional<ExtensionParameter> next_parameter();

    /// False once the text was found broken: nothing further is read.
    bool good() const { return good_; }

  private:
    void skip_space();
    bool take(char wanted);
    std::string_view token();
    std::optional<std::string> quoted();
    std::nullopt_t broken();

    std::string_view rest_;
    bool in_extension_ = false;  // Its parameters have not all been read.
    bool good_ = true;
};

/// True for a text that keeps to the grammar; an empty one offers nothing.
bool is_extension_list(std::string_view text);

}  // namespace boardbus::web
