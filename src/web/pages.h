// The browser page: files of pages/, carried inside the program, and the index made for one visitor.
//
// Constant after construction; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
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

enum class Forwarded { no, yes };  ///< yes: the request has X-Forwarded-For or Forwarded.

class Pages {
  public:
    explicit Pages(const Options& options);

    /// The file that `path` names; none: 404. The index is not among them.
    std::optional<Asset> find(std::string_view path) const;

    /// The page at `/` (kIndexType, no-store). The token is shown as a hint only while it is the default one and
    /// `client` is a loopback address that no proxy speaks for.
    const std::string& index(const Address& client, Forwarded forwarded) const;

  private:
    std::string plain_;   // The index without the hint.
    std::string hinted_;  // The same as plain_ when the token is a secret.
};

/// The files of pages/ as tools/embed_pages.cmake has put them into the program.
struct EmbeddedPages {
    std::span<const Asset> assets;
    std::string_view index;  ///< With {{placeholders}}.
};

EmbeddedPages embedded_pages();

inline constexpr std::string_view kIndexType = "text/html; charset=utf-8";

/// Does If-None-Match name `etag`? Then answer 304.
bool matches_etag(std::string_view if_none_match, std::string_view etag);

}  // namespace boardbus::web
