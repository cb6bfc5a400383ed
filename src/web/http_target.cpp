// SPDX-License-Identifier: Apache-2.0
#include "web/http_target.h"

#include <algorithm>

namespace boardbus::web {

HttpTarget split_target(std::string_view target) {
    HttpTarget split;
    const auto question = std::min(target.find('?'), target.size());
    split.path = target.substr(0, question);
    split.query = target.substr(std::min(question + 1, target.size()));
    if (const auto scheme_end = split.path.find("://");
        !split.path.starts_with('/') && scheme_end != std::string_view::npos) {
        const auto slash = split.path.find('/', scheme_end + 3);
        split.path = slash == std::string_view::npos ? "/" : split.path.substr(slash);
    }
    return split;
}

std::vector<std::string_view> path_segments(std::string_view path) {
    std::vector<std::string_view> segments;
    while (path.starts_with('/')) {
        const auto end = std::min(path.find('/', 1), path.size());
        segments.push_back(path.substr(1, end - 1));
        path = path.substr(end);
    }
    return segments;
}

}  // namespace boardbus::web
