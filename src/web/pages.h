// The browser page: files of pages/, carried inside the program, and the index made for one visitor.
//
// Constant after construction; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "web/options.h"

namespace boardbus::web {

/// One file as it goes out. The views live as long as the program.
struct Asset {
    std::string_view path;  ///< As in the URL: /assets/board.js.
    std::string_view content_type;
    std::string_view etag;  ///< With its quotes.
    std::string_view body;
};

/// A file may be kept but must be asked for again: a new version of the program shows at once.
inline constexpr std::string_view kAssetCacheControl = "no-cache";

class Pages {
  public:
    explicit Pages(const Options& options);

    /// The file that `path` names; none: 404. The index is not among them.
    std::optional<Asset> find(std::string_view path) const;

    /// The page at `/` (text/html; charset=utf-8, no-store). `client` decides about the token hint: it is there only while the token is the
    /// default one and the client is a loopback address that no proxy speaks for.
    std::string render_index(const Address& client, bool forwarded) const;

  private:
    std::string plain_;  // Rendered once, without and with the hint.
    std::string hinted_;
};

inline constexpr std::string_view kIndexType = "text/html; charset=utf-8";

/// Does If-None-Match name `etag`? Then answer 304.
bool matches_etag(std::string_view if_none_match, std::string_view etag);

}  // namespace boardbus::web
