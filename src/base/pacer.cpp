// SPDX-License-Identifier: Apache-2.0
#include "base/pacer.h"

#include <sys/timerfd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace boardbus {

Instant due_of(Instant begin, double rate_per_s, std::uint64_t number) {
    const std::chrono::duration<double> after(static_cast<double>(number) / rate_per_s);
    return begin + std::chrono::duration_cast<std::chrono::nanoseconds>(after);
}

Pacer::Pacer(Loop& loop, Instant begin, Instant end, double rate_per_s, std::function<void(Instant due)> act)
    : loop_(loop),
      begin_(begin),
      end_(end),
      rate_per_s_(rate_per_s),
      act_(std::move(act)),
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
    for (Instant due = next_due(); due <= now && due < end_; due = next_due()) {
        ++acted_;
        act_(due);
    }
    if (next_due() < end_) {
        arm();
    }
}

void Pacer::arm() {
    const auto due = next_due().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(due);
    itimerspec when{};
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = (due - seconds).count();
    ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace boardbus
