// One reader on its way to its place, as Resumes keeps it between two questions.
//
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hub/resumes.h"

namespace boardbus::hub {

struct Resumes::Waiter {
    ResumeRequest request;
    std::uint64_t began_at = 0;   ///< Kind::now: the place of the process when it asked.
    std::uint64_t placeless = 0;  ///< So many events without a place had been shown when it first asked.
    std::uint64_t placed_in = 0;  ///< The ring's generation of `began_at`; 0: there was no place yet.
    bool resyncs = false;         ///< Its cursor is void; it begins now and is told so.
    bool came_back = false;       ///< It asked with a cursor; counted by result once.
    bool gap = false;
    bool read = false;                  ///< The history was asked.
    std::uint64_t before = UINT64_MAX;  ///< Kind::now: the board's history is being read backwards from here.
    bool looked = false;                ///< For the first event of its board.
    std::uint64_t begins_at = 0;        ///< Where that is, when it was found.
    std::uint64_t until = 0;            ///< Parked: the position that the process has to come to.
    std::uint64_t until_in = 0;         ///< The ring's generation of `until`.
    std::uint64_t asked_in = 0;         ///< The ring's generation when the history was asked.
    int tries = 0;
    std::string cursor;                ///< Kind::now: where it begins.
    std::optional<std::uint64_t> seq;  ///< What it is told: the board's last that was given out.
    std::optional<std::uint64_t>
        shown_seq;  ///< The board's last that the process has shown, if no event in the ring says it.
    std::string bytes;
    SharedReply reply;

    const std::string& board() const { return request.boards.front(); }
    bool of_one_board() const { return request.boards.size() == 1; }
    bool is_filter() const { return request.boards.size() > 1; }
    bool is_full() const { return bytes.size() >= request.slice_bytes; }
    bool is_websocket() const { return request.form == Form::ws || request.form == Form::ws_deflate; }
    std::uint64_t number(const board::Position& place) const { return of_one_board() ? place.seq : place.pos; }
    std::uint64_t number() const { return number(request.point.after.position); }
    bool wants(std::string_view board) const {
        return request.boards.empty() || std::ranges::binary_search(request.boards, board);
    }
};

}  // namespace boardbus::hub
