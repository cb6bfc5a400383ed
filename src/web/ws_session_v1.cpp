// The part of a WebSocket that joins at a cursor, and that speaks boardbus.v1.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "board/envelope.h"
#include "board/message.h"
#include "web/edge.h"
#include "web/resume_point.h"
#include "web/ws_session.h"

namespace boardbus::web {

void WsSession::subscribe(std::string board, const hub::ResumePoint& point) {
    boards_->joining.push_back({.board = std::move(board), .point = point});
    ask_next();
}

void WsSession::ask_next() {
    if (boards_ && !boards_->asking && !boards_->joining.empty() && backlog() == 0 && !is_closing()) {
        boards_->asking = true;
        const WsBoards::Joining& next = boards_->joining.front();
        edge_.resume(*this, {next.board}, next.point);
    }
}

void WsSession::on_resumed(hub::ResumeAnswer answer) {
    WsBoards::Joining& first = boards_->joining.front();
    boards_->asking = false;
    if (is_closing() || first.unwanted) {
        if (answer.joined) {
            edge_.report_left({first.board}, form());
        }
        boards_->joining.pop_front();
        ask_next();
        return;
    }
    if (answer.failed) {
        close(close_code::kTryAgainLater, "the history cannot be read");
        return;
    }
    if (speaks_v1() && !std::exchange(first.told, true)) {
        tell_subscribed(first.board, answer);
    }
    if (!answer.bytes.empty()) {
        shard().send(*this, answer.bytes);
    }
    if (!answer.joined) {
        first.point = std::move(answer.next);
    } else {
        shard().join_counted(*this, first.board);
        boards_->joined.push_back(std::move(first.board));
        boards_->joining.pop_front();
        if (!boards_->speaks_v1) {
            boards_.reset();  // From here on it is a plain socket.
        }
    }
    ask_next();
}

void WsSession::tell_subscribed(std::string_view board, const hub::ResumeAnswer& answer) {
    send_frame(Opcode::text, v1::subscribed_frame({.board = board,
                                                   .epoch = answer.epoch,
                                                   .seq = answer.seq,
                                                   .recovered = answer.recovered,
                                                   .cursor = answer.cursor}));
}

void WsSession::on_live(bool live) {
    if (speaks_v1() && !is_closing()) {
        send_frame(Opcode::text, v1::status_frame(live));
    }
}

void WsSession::on_v1_text(std::string_view text) {
    // One that is over the limit is read all the same, because its answer names it. At 1 ns a byte, twice, that costs less
    // than taking it, and no more than kWorkPerTurn allows.
    const bool limited = is_limited();
    const auto command = v1::read_command(text);
    if (limited && command && command->op != "publish") {
        send_frame(Opcode::text, v1::error_frame(command->op, command->board, "rate_limited"));
    } else if (limited) {
        refuse_limited(command ? command->message : text);
    } else if (command) {
        run(*command);
    } else {
        publish_v1(boards_->path_board, text);
    }
}

void WsSession::refuse_limited(std::string_view message) {
    const auto wait = bucket_.wait(*edge_.options().message_rate_limit, edge_.loop().now());
    const std::string correlation_id = v1::correlation_id_of(message);
    send_frame(Opcode::text, v1::nack_frame({.correlation_id = correlation_id,
                                             .outcome = board::PublishOutcome::rejected,
                                             .reason = "rate_limited",
                                             .retry_after = std::chrono::ceil<std::chrono::milliseconds>(wait),
                                             .detail = {}}));
}

void WsSession::run(const v1::Command& command) {
    const auto refuse = [&](std::string_view reason) {
        send_frame(Opcode::text, v1::error_frame(command.op, command.board, reason));
    };
    if (command.op != "subscribe" && command.op != "unsubscribe" && command.op != "publish") {
        refuse("unknown_op");
    } else if (!command.board) {
        refuse("invalid_board");
    } else if (command.op == "publish") {
        publish_v1(*command.board, command.message);
    } else if (command.op == "unsubscribe") {
        unsubscribe(command);
    } else if (command.since_is_wrong) {
        refuse("invalid_since");
    } else if (boards_->has(*command.board)) {
        refuse("already_subscribed");
    } else if (boards_->is_full()) {
        refuse("too_many_boards");
    } else {
        subscribe(*command.board, resume_point(command.since));
    }
}

void WsSession::unsubscribe(const v1::Command& command) {
    WsBoards& boards = *boards_;
    if (!boards.has(*command.board)) {
        send_frame(Opcode::text, v1::error_frame(command.op, command.board, "not_subscribed"));
        return;
    }
    if (std::erase(boards.joined, *command.board) > 0) {
        shard().leave(*this, *command.board);
    } else {
        const auto joining = std::ranges::find_if(
            boards.joining, [&](const WsBoards::Joining& one) { return one.wants(*command.board); });
        if (boards.asking && joining == boards.joining.begin()) {
            joining->unwanted = true;  // Its answer is on the way.
        } else {
            boards.joining.erase(joining);
        }
    }
    send_frame(Opcode::text, v1::unsubscribed_frame(*command.board));
}

void WsSession::publish_v1(std::string board, std::string_view text) {
    const auto message = board::parse_board_message(text);
    if (!message) {
        edge_.counters().messages_invalid.add();
        send_frame(Opcode::text, v1::nack_frame(text, message.error()));
        return;
    }
    auto publication = board::seal(*message, std::move(board), random_uuid(), random_uuid(), wall_now());
    auto receipt = std::make_unique<Receipt>(Receipt{publication.correlation_id, publication.event_id});
    publish(std::move(publication), std::move(receipt));
}

}  // namespace boardbus::web
