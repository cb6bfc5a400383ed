// Where a client wants to go on, out of the text that it brought back.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "hub/resumes.h"

namespace boardbus::web {

/// An empty text is no cursor; one that is none of ours leads to a resync.
inline hub::ResumePoint resume_point(std::string_view cursor) {
    using Kind = hub::ResumePoint::Kind;
    if (cursor.empty()) {
        return {};
    }
    const auto read = board::parse_cursor(cursor);
    return read ? hub::ResumePoint{.kind = Kind::cursor, .after = *read} : hub::ResumePoint{.kind = Kind::unreadable};
}

}  // namespace boardbus::web
