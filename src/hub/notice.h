// What a reader is told when its stream does not go on where it was: the one thing that must never happen in silence.
//
// Made on the bus loop, once for all readers of a board. Spec: CONTRACT §7.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "hub/frame.h"
#include "hub/reader.h"

namespace boardbus::hub {

/// A break in the events of one board, or in those of all.
struct Notice {
    enum class Kind : std::uint8_t {
        gap,     ///< Events are missing and nobody has them any more; what follows them is complete.
        resync,  ///< Another history: whatever the reader knows may be wrong.
        cut,     ///< What is missing could not be found out: the reader has to come back with its cursor.
    };
    Kind kind = Kind::gap;
    std::string board;       ///< "": all boards; numbers are positions then, else sequence numbers.
    std::string epoch;       ///< resync: of the history that follows.
    std::uint64_t from = 0;  ///< gap: the first that is missing.
    std::uint64_t to = 0;    ///< gap: the last that is missing; resync: the last before those that follow.
    std::string cursor;      ///< To go on behind the break.
};

/// {"kind":"gap",…} or {"kind":"resync",…} on one line. Not for a cut, which has no words.
std::string notice_json(const Notice& notice);

/// A notice in the form that a reader gets its events in: a frame, or an event `boardbus.gap` or `boardbus.resync`.
void append_notice(std::string& out, Form form, const WsEncoder& encoder, const Notice& notice);

/// The same for all forms, to be shared by all readers.
struct EncodedNotice {
    Notice::Kind kind = Notice::Kind::cut;
    std::array<std::string, kForms> forms;  ///< Empty for a cut.
};
EncodedNotice encode_notice(const Notice& notice, const WsEncoder& encoder);

}  // namespace boardbus::hub
