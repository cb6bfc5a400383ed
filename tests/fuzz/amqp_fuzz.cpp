// Feeds the AMQP reader what no broker should send, in pieces of several sizes.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "transport/amqp_codec.h"
#include "transport/rabbitmq_copy.h"

namespace {

using namespace boardbus::transport;

void read_header(std::string_view payload) {
    const auto header = amqp::decode_header(payload);
    if (!header) {
        return;
    }
    // What was read can be written and reads the same again.
    std::string again;
    amqp::Writer(again).u16(60).u16(0).u64(header->body_size);
    amqp::put_properties(again, header->properties);
    if (!amqp::decode_header(again)) {
        std::abort();
    }
    death_record(header->properties);
    if (amqp::encoded_size(retry_copy(header->properties, 1, {}, payload, "now")) > amqp::kFrameMax - 100) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) {
        return 0;
    }
    const std::size_t step = static_cast<std::uint8_t>(input.front()) % 64 + 1;
    input.remove_prefix(1);
    read_header(input);
    static_cast<void>(amqp::decode_method(input));
    amqp::FrameReader reader;
    while (!input.empty()) {
        reader.feed(input.substr(0, step));
        input.remove_prefix(std::min(step, input.size()));
        for (;;) {
            const auto frame = reader.next();
            if (!frame) {
                return 0;
            }
            if (!*frame) {
                break;
            }
            if ((*frame)->type == amqp::FrameType::header) {
                read_header((*frame)->payload);
            } else {
                static_cast<void>(amqp::decode_method((*frame)->payload));
            }
        }
    }
    return 0;
}
