// SPDX-License-Identifier: Apache-2.0
#include "hub/notice.h"

#include "board/json_text.h"

namespace boardbus::hub {

std::string notice_json(const Notice& notice) {
    const bool is_gap = notice.kind == Notice::Kind::gap;
    const bool is_all = notice.board.empty();
    std::string json = is_gap ? R"({"kind":"gap","board":)" : R"({"kind":"resync","board":)";
    if (is_all) {
        json += "null";
    } else {
        board::json::append_quoted(json, notice.board);
    }
    if (is_gap) {
        json += is_all ? R"(,"from_pos":)" : R"(,"from_seq":)";
        json += std::to_string(notice.from);
        json += is_all ? R"(,"to_pos":)" : R"(,"to_seq":)";
    } else {
        json += R"(,"epoch":)";
        board::json::append_quoted(json, notice.epoch);
        json += is_all ? R"(,"pos":)" : R"(,"seq":)";
    }
    json += std::to_string(notice.to);
    json += '}';
    return json;
}

void append_notice(std::string& out, Form form, const WsEncoder& encoder, const Notice& notice) {
    const std::string_view name = notice.kind == Notice::Kind::gap ? "boardbus.gap" : "boardbus.resync";
    append_event(out, form, encoder, {.id = notice.cursor, .name = name, .json = notice_json(notice)});
}

EncodedNotice encode_notice(const Notice& notice, const WsEncoder& encoder) {
    EncodedNotice encoded{.kind = notice.kind, .forms = {}};
    for (std::size_t form = 0; form < kForms && notice.kind != Notice::Kind::cut; ++form) {
        append_notice(encoded.forms[form], static_cast<Form>(form), encoder, notice);
    }
    return encoded;
}

}  // namespace boardbus::hub
