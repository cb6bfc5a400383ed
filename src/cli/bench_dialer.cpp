// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_dialer.h"

#include "base/pacer.h"

namespace boardbus::cli {

void BenchDialer::step(Instant now) {
    for (const Handshake& each : under_way_) {
        if (each.socket->is_opening() && now - each.begun > plan_.timeout) {
            each.socket->give_up("no handshake: no answer within " + std::to_string(plan_.timeout.count()) + " ms");
        }
    }
    std::erase_if(under_way_, [](const Handshake& each) { return !each.socket->is_opening(); });
    while (!stopped_ && begun_ < plan_.connections && under_way_.size() < plan_.handshakes) {
        const Instant due = plan_.rate_per_s > 0 ? due_of(begin_, plan_.rate_per_s, begun_) : now;
        if (due > now) {
            return;
        }
        BenchSocket& socket = dial_(begun_++, due);
        if (socket.is_opening()) {
            under_way_.push_back({&socket, now});
        }
    }
}

}  // namespace boardbus::cli
