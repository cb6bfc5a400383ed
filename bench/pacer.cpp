// SPDX-License-Identifier: Apache-2.0
#include "bench/pacer.h"

#include <sys/timerfd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace boardbus::bench {

Pacer::Pacer(Loop& loop, Span span, double rate_per_s, std::function<void(Instant due)> publish)
    : loop_(loop),
      span_(span),
      rate_per_s_(rate_per_s),
      publish_(std::move(publish)),
      fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    if (!fd_) {
        throw std::system_error(errno, std::system_category(), "timerfd_create");
    }
    loop_.add(fd_.get(), EPOLLIN, *this);
    arm();
}

Pacer::~Pacer() {
    loop_.remove(fd_.get(), *this);
}

void Pacer::on_ready(std::uint32_t /*events*/) {
    std::uint64_t expirations = 0;
    if (::read(fd_.get(), &expirations, sizeof expirations) < 0) {
        return;
    }
    const Instant now = std::chrono::steady_clock::now();
    for (Instant due = next_due(); due <= now && due < span_.end; due = next_due()) {
        publish_(due);
        ++published_;
    }
    if (next_due() < span_.end) {
        arm();
    }
}

Instant Pacer::next_due() const {
    const std::chrono::duration<double> after(static_cast<double>(published_) / rate_per_s_);
    return span_.begin + std::chrono::duration_cast<std::chrono::nanoseconds>(after);
}

void Pacer::arm() {
    const auto due = next_due().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(due);
    itimerspec when{};
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = (due - seconds).count();
    ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace boardbus::bench
