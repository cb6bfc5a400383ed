// bench_floor: the least that must happen to an event on its way, and nothing else.
//
// Publish with confirms to RabbitMQ (persistent, durable queue) -> consume -> one script on Redis -> ack -> hear it on the channel. The script
// is boardbus' own commit (dedupe, position, history, PUBLISH) or, with `--step dedupe`, dedupe and PUBLISH alone. The message is bare and
// goes to its queue by name or, with `--message board`, has the properties, the topic exchange and the queue arguments that an event of
// boardbus has: what RabbitMQ itself takes for these is no work of ours. No envelope, no HTTP, no WebSocket, no hub, no retries, no
// metrics, no second process: what boardbus needs beyond this is boardbus' own cost.
//
// Choice: our own AMQP and Redis clients, all roles in one thread on one loop. Nothing is woken but by a broker, and what arrives together
// leaves together, so this is a lower floor than blocking client libraries with a thread for each role. What our clients themselves cost is
// part of the floor: some microseconds per event, of which the brokers use ten times as many.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "base/pacer.h"
#include "base/random.h"
#include "base/result.h"
#include "base/trace_context.h"
#include "bench/event_log.h"
#include "board/ports.h"
#include "board/topology.h"
#include "telemetry/log.h"
#include "transport/amqp_channel.h"
#include "transport/amqp_confirm_channel.h"
#include "transport/redis_commit_script.h"
#include "transport/redis_connection.h"

namespace boardbus::bench {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using transport::AmqpConnection;
namespace amqp = transport::amqp;

struct Options {
    std::string amqp_url = "amqp://guest:guest@127.0.0.1:5672/";
    std::string redis_url = "redis://127.0.0.1:6379/2";
    std::string queue = "quorum";
    std::string step = "commit";
    std::string message = "bare";
    double rate = 0;
    std::size_t window = 256;
    double seconds = 10;
    double warmup = 2;
    double drain = 10;
    std::size_t bytes = 400;
    std::uint16_t prefetch = 256;
};

constexpr std::string_view kChannel = "bench.floor";
constexpr std::string_view kTtl = "60";
constexpr std::string_view kDedupe = R"lua(#!lua
if redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  return redis.call('PUBLISH', ARGV[2], ARGV[3])
end
return -1
)lua";

/// The roles tell here what happened.
struct Progress {
    std::uint64_t confirmed = 0;
    std::uint64_t refused = 0;
    std::string failure;
};

transport::AmqpOptions amqp_options(const transport::AmqpUrl& broker, std::string name) {
    transport::AmqpOptions options;
    options.brokers = {broker};
    options.name = std::move(name);
    return options;
}

transport::RedisOptions redis_options(const transport::RedisUrl& url) {
    transport::RedisOptions options;
    options.url = url;
    return options;
}

/// What RabbitMQ is asked for: the names, and the arguments of the queue.
board::Topology topology_of(const Options& options, const std::string& queue) {
    board::TopologyOptions names;
    names.main = {queue, queue, "boards.activity"};  // An exchange of its own: others would get the events, too.
    names.queue_type = options.queue == "quorum" ? board::QueueType::quorum : board::QueueType::classic;
    board::Topology topology = board::make_topology(names);
    if (options.message == "bare") {
        topology.main.arguments = {{"x-queue-type", options.queue}};
    }
    return topology;
}

/// Publishes to the queue by its name or as boardbus does, persistent, with confirms.
class Writer final : private transport::AmqpConnectionOwner {
  public:
    Writer(Loop& loop, Progress& progress, const transport::AmqpUrl& broker, const Options& options,
           const std::string& queue)
        : progress_(progress),
          connection_(loop, *this, amqp_options(broker, "bench_floor writer")),
          channel_(loop, connection_, [this](bool open) { on_channel(open); }) {
        message_.routing_key = queue;
        message_.properties.content_type = "application/json";
        message_.properties.delivery_mode = 2;
        if (options.message == "board") {
            const board::QueuePlan plan = topology_of(options, queue).main;
            message_.exchange = plan.exchange;
            message_.routing_key = plan.routing_key;
            const std::string id = message_.properties.message_id.emplace(random_uuid());
            message_.properties.timestamp = 1'700'000'000;
            message_.properties.headers = {
                {"correlation_id", id}, {"idempotency_key", id}, {"traceparent", new_traceparent()}};
        }
        message_.body = numbered_object(options.bytes);
        connection_.start();
    }

    bool is_ready() const { return channel_.is_open(); }

    void publish(std::uint64_t number) {
        set_number(message_.body, number);
        channel_.publish(message_, [this](transport::Confirm confirm, std::string_view) {
            ++progress_.confirmed;
            progress_.refused += confirm == transport::Confirm::confirmed ? 0 : 1;
        });
    }

  private:
    void on_connected() override { channel_.open(); }
    void on_disconnected(const Error& error) override { progress_.failure = "writer: " + error.detail; }
    void on_channel(bool open) {
        if (!open) {
            progress_.failure = "writer: channel lost";
        }
    }

    Progress& progress_;
    AmqpConnection connection_;
    transport::ConfirmChannel channel_;
    transport::OutgoingMessage message_;
};

/// What Redis does with an event.
class Step {
  public:
    explicit Step(const Options& options)
        : whole_(options.step == "commit"),
          key_prefix_("bench.floor:" + random_uuid()),
          commit_(key_prefix_, std::chrono::seconds(60), std::string(kChannel), transport::RedisHistoryKeys(kChannel),
                  {}) {
        request_.fingerprint = "00112233445566778899aabbccddeeff";
        request_.event_id = random_uuid();  // The same for all: nobody looks at it.
        request_.board_id = "bench";
    }

    void add_load(transport::RedisCommands& commands) const {
        if (whole_) {
            commit_.add_load(commands);
        } else {
            commands.add({"SCRIPT", "LOAD", kDedupe});
        }
    }
    void on_loaded(std::string_view hash) { hash_ = hash; }
    bool is_ready() const { return !hash_.empty(); }

    void add(transport::RedisCommands& commands, std::string body) {
        request_.idempotency_key = std::to_string(number_in(body).value_or(0));
        if (whole_) {
            request_.activity = std::move(body);
            commit_.add_commit(commands, request_, wall_now(), "00000000000000aa");
        } else {
            commands.add({"EVALSHA", hash_, "1", key_prefix_ + ':' + request_.idempotency_key, kTtl, kChannel, body});
        }
    }

  private:
    const bool whole_;
    const std::string key_prefix_;
    const transport::RedisCommitScript commit_;
    board::CommitRequest request_;
    std::string hash_;
};

/// Consumes, commits each read's deliveries as one pipeline, acks them as one when Redis has answered.
class Mover final : private transport::AmqpConnectionOwner,
                    private transport::AmqpChannelOwner,
                    private transport::RedisOwner {
  public:
    Mover(Loop& loop, Progress& progress, const transport::AmqpUrl& broker, const transport::RedisUrl& redis,
          const Options& options, const std::string& queue)
        : progress_(progress),
          plan_(topology_of(options, queue).main),
          prefetch_(options.prefetch),
          step_(options),
          connection_(loop, *this, amqp_options(broker, "bench_floor mover")),
          channel_(loop, connection_, *this),
          redis_(loop, *this, redis_options(redis)) {
        connection_.start();
        redis_.start();
    }

    bool is_ready() const { return consuming_ && step_.is_ready(); }

  private:
    void on_connected() override {
        channel_.open([this](const Result<amqp::Method>& opened) {
            if (!opened) {
                progress_.failure = "mover: " + opened.error().detail;
                return;
            }
            const std::uint16_t number = channel_.number();
            const auto ask = [this](std::string request, bool last) {
                channel_.call(std::move(request), [this, last](const Result<amqp::Method>& answer) {
                    if (!answer) {
                        progress_.failure = "mover: " + answer.error().detail;
                    }
                    consuming_ = answer && last;
                });
            };
            amqp::Table arguments;
            for (const auto& [name, value] : plan_.arguments) {
                arguments.emplace_back(name, std::visit([](const auto& one) { return amqp::Value(one); }, value));
            }
            ask(amqp::exchange_declare(number, plan_.exchange, amqp::Passive::no), false);
            ask(amqp::queue_declare(number, plan_.name, amqp::Passive::no, arguments), false);
            ask(amqp::queue_bind(number, plan_.name, plan_.exchange, plan_.routing_key), false);
            ask(amqp::queue_purge(number, plan_.name), false);
            ask(amqp::qos(number, prefetch_), false);
            ask(amqp::consume(number, plan_.name, "floor"), true);
        });
    }
    void on_disconnected(const Error& error) override { progress_.failure = "mover: " + error.detail; }
    void on_channel_lost(const Error& error) override { progress_.failure = "mover: " + error.detail; }

    void on_message(transport::AmqpMessage message) override {
        if (const auto* deliver = std::get_if<amqp::Deliver>(&message.method)) {
            last_tag_ = deliver->tag;
            step_.add(commands_, std::move(message.body));
        }
    }

    void on_read_end() override {
        const auto commands = std::exchange(commands_, {});
        if (commands.count() == 0) {
            return;
        }
        redis_.send(commands, [this, tag = last_tag_](const Result<std::vector<transport::RedisReply>>& replies) {
            if (!replies) {
                progress_.failure = "redis: " + replies.error().detail;
                return;
            }
            const auto wrong =
                std::ranges::find_if(*replies, [](const auto& reply) { return transport::is_error(*reply); });
            if (wrong != replies->end()) {
                progress_.failure = "redis: " + std::string(transport::text_of(**wrong));
                return;
            }
            channel_.send(amqp::ack(channel_.number(), tag, amqp::Multiple::yes));
        });
    }

    void on_redis_up() override {
        transport::RedisCommands load;
        step_.add_load(load);
        redis_.send(load, [this](const auto& replies) {
            if (replies && !transport::is_error(*replies->front())) {
                step_.on_loaded(transport::text_of(*replies->front()));
            } else {
                progress_.failure = "redis: the script was not loaded; Redis 7 is needed";
            }
        });
    }
    void on_redis_down(const Error& error) override { progress_.failure = "redis: " + error.detail; }
    void on_redis_messages(const std::vector<transport::RedisReply>& /*messages*/) override {}

    Progress& progress_;
    const board::QueuePlan plan_;
    const std::uint16_t prefetch_;
    Step step_;
    bool consuming_ = false;
    std::uint64_t last_tag_ = 0;
    transport::RedisCommands commands_;  // Bound: the prefetch.
    AmqpConnection connection_;
    transport::AmqpChannel channel_;
    transport::RedisConnection redis_;
};

class Floor final : private transport::RedisOwner, private TurnEnd {
  public:
    Floor(Loop& loop, const Options& options, const transport::AmqpUrl& broker, const transport::RedisUrl& redis)
        : loop_(loop), options_(options), subscription_(loop, *this, redis_options(redis)) {
        // Before the connections: what the window lets through leaves in the same turn.
        loop_.add_turn_end(*this);
        const std::string queue = "bench.floor." + options.message + '.' + options.queue;
        mover_ = std::make_unique<Mover>(loop, progress_, broker, redis, options, queue);
        writer_ = std::make_unique<Writer>(loop, progress_, broker, options, queue);
        subscription_.start();
    }
    Floor(const Floor&) = delete;
    Floor& operator=(const Floor&) = delete;
    ~Floor() { loop_.remove_turn_end(*this); }

    /// Errors: timeout (not connected within 10 s), unavailable (a connection or a message was lost).
    Result<void> run() {
        const Instant deadline = steady_clock::now() + std::chrono::seconds(10);
        turn_until([&] { return is_ready() || steady_clock::now() >= deadline; });
        if (!is_ready()) {
            return fail(Errc::timeout, progress_.failure.empty() ? "no connection within 10 s" : progress_.failure);
        }
        span_.begin = steady_clock::now() + milliseconds(20);
        span_.measured = span_.begin + duration_cast<std::chrono::nanoseconds>(duration<double>(options_.warmup));
        span_.end = span_.measured + duration_cast<std::chrono::nanoseconds>(duration<double>(options_.seconds));
        log_ = std::make_unique<EventLog>(1, 1, span_);
        std::unique_ptr<Pacer> pacer;
        if (options_.rate > 0) {
            pacer = std::make_unique<Pacer>(loop_, span_.begin, span_.end, options_.rate,
                                            [this](Instant due) { publish(due); });
        }
        const Instant drained_by = span_.end + duration_cast<milliseconds>(duration<double>(options_.drain));
        turn_until([&] {
            const Instant now = steady_clock::now();
            return now >= drained_by || (now >= span_.end && log_->missing() == 0);
        });
        return progress_.failure.empty() ? Result<void>() : fail(Errc::unavailable, progress_.failure);
    }

    std::string report() const { return log_->json(progress_.refused); }

  private:
    template <typename Condition>
    void turn_until(Condition condition) {
        while (progress_.failure.empty() && !condition()) {
            loop_.turn(milliseconds(10));
        }
    }

    bool is_ready() const { return subscribed_ && mover_->is_ready() && writer_->is_ready(); }

    void publish(Instant due) {
        if (log_->full()) {
            progress_.failure = "more events than can be kept track of";
            return;
        }
        writer_->publish(log_->publish(due));
    }

    void on_redis_up() override {
        subscription_.send(transport::RedisCommands().add({"SUBSCRIBE", kChannel}),
                           [this](const auto& replies) { subscribed_ = replies.has_value(); });
    }

    void on_redis_down(const Error& error) override { progress_.failure = "redis subscription: " + error.detail; }

    void on_redis_messages(const std::vector<transport::RedisReply>& messages) override {
        const Instant now = steady_clock::now();
        for (const transport::RedisReply& message : messages) {
            const std::string_view activity = transport::text_of(*message->element[2]);
            if (const auto number = log_ ? number_in(activity) : std::nullopt) {
                seen_ += log_->arrive(0, *number, now) ? 1 : 0;
            }
        }
    }

    void on_turn_end() override {
        const Instant now = steady_clock::now();
        if (log_ == nullptr || options_.rate > 0 || now >= span_.end) {
            return;
        }
        // An event has left the window when the broker has confirmed it and its reader has seen it.
        const std::uint64_t done = std::min(progress_.confirmed, seen_);
        while (progress_.failure.empty() && log_->published() < done + options_.window) {
            publish(now);
        }
    }

    // Constant after construction.
    Loop& loop_;
    const Options options_;

    // Loop only.
    Progress progress_;
    Span span_;
    std::unique_ptr<EventLog> log_;
    std::uint64_t seen_ = 0;
    bool subscribed_ = false;
    transport::RedisConnection subscription_;
    std::unique_ptr<Mover> mover_;
    std::unique_ptr<Writer> writer_;
};

Result<std::string> run(const Options& options) {
    const auto brokers = transport::parse_amqp_urls(options.amqp_url);
    const auto redis = transport::parse_redis_url(options.redis_url);
    if (!brokers || !redis) {
        return std::unexpected(brokers ? redis.error() : brokers.error());
    }
    Loop loop;
    Floor floor(loop, options, brokers->front(), *redis);
    if (auto ended = floor.run(); !ended) {
        return std::unexpected(ended.error());
    }
    return floor.report();
}

}  // namespace
}  // namespace boardbus::bench

int main(int argc, char** argv) {
    boardbus::bench::Options options;
    CLI::App app(
        "The floor of the pipeline, with the brokers alone; prints one line of JSON, latencies in microseconds.",
        "bench_floor");
    app.option_defaults()->always_capture_default();
    app.add_option("--amqp-url", options.amqp_url, "RabbitMQ");
    app.add_option("--redis-url", options.redis_url, "Redis");
    app.add_option("--queue", options.queue, "Type of the queue bench.floor.MESSAGE.TYPE, which is emptied first")
        ->check(CLI::IsMember({"quorum", "classic"}));
    app.add_option("--step", options.step, "What Redis does: boardbus' commit, or dedupe and PUBLISH alone")
        ->check(CLI::IsMember({"commit", "dedupe"}));
    app.add_option("--message", options.message, "Alone and to the queue by name, or as boardbus sends it")
        ->check(CLI::IsMember({"bare", "board"}));
    app.add_option("--rate", options.rate, "Events per second; 0: as many as --window lets through")
        ->check(CLI::Range(0.0, 1e6));
    app.add_option("--window", options.window, "Events on their way at once, when --rate is 0")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--seconds,--duration", options.seconds, "Measured time")->check(CLI::Range(0.1, 3600.0));
    app.add_option("--warmup", options.warmup, "Time before it")->check(CLI::Range(0.0, 600.0));
    app.add_option("--drain", options.drain, "Longest wait for what is missing at the end")
        ->check(CLI::Range(0.0, 600.0));
    app.add_option("--bytes", options.bytes, "Size of a message's body")->check(CLI::Range(18, 100'000));
    app.add_option("--prefetch", options.prefetch, "Unacked deliveries")->check(CLI::Range(1, 65535));
    CLI11_PARSE(app, argc, argv);
    boardbus::telemetry::configure_log(boardbus::telemetry::Level::warn, boardbus::telemetry::LogFormat::text);
    const auto report = boardbus::bench::run(options);
    if (!report) {
        std::fprintf(stderr, "bench_floor: %s\n", report.error().detail.c_str());
        return 1;
    }
    std::puts(report->c_str());
    return 0;
}
