// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace boardbus {
namespace {

// 1,024 events a turn: more input is gathered per write than with fewer, and 12 KiB is nothing.
constexpr std::size_t kReadyMax = 1024;

void check(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

}  // namespace

Loop::Loop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      ready_(kReadyMax),
      now_(std::chrono::steady_clock::now()) {
    check(epoll_.get(), "epoll_create1");
    check(wakeup_.get(), "eventfd");
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), &event), "epoll_ctl");
}

void Loop::run() {
    while (!stopped_) {
        turn(std::chrono::hours(1));
    }
    stopped_ = false;
}

void Loop::stop() {
    post([this] { stopped_ = true; });
}

void Loop::turn(std::chrono::milliseconds longest) {
    const int count = ::epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()), wait_ms(longest));
    if (count < 0 && errno != EINTR) {
        check(count, "epoll_wait");
    }
    now_ = std::chrono::steady_clock::now();
    again_ = false;
    ready_count_ = static_cast<std::size_t>(std::max(count, 0));
    bool woken = false;
    for (ready_at_ = 0; ready_at_ < ready_count_; ++ready_at_) {
        const epoll_event& event = ready_[ready_at_];
        if (event.data.ptr == nullptr) {
            woken = woken || event.events != 0;
            continue;
        }
        static_cast<Watcher*>(event.data.ptr)->on_ready(event.events);
    }
    ready_count_ = 0;
    if (woken) {
        run_posted();
    }
    run_due_timers();
    // By index: a hook may register another one. One that left has left its place empty.
    for (std::size_t i = 0; i < turn_ends_.size(); ++i) {
        if (turn_ends_[i] != nullptr) {
            turn_ends_[i]->on_turn_end();
        }
    }
    std::erase(turn_ends_, nullptr);
}

int Loop::wait_ms(std::chrono::milliseconds longest) const {
    if (again_) {
        return 0;
    }
    if (timers_.empty()) {
        return static_cast<int>(longest.count());
    }
    const auto until = timers_.begin()->first.first - std::chrono::steady_clock::now();
    // Rounded up: a timer that fires early would spin until its time has come.
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until);
    return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, longest.count()));
}

void Loop::run_posted() {
    std::uint64_t count = 0;
    while (::read(wakeup_.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
    std::vector<Task> tasks;
    {
        const std::scoped_lock lock(posted_mutex_);
        tasks.swap(posted_);
    }
    for (Task& task : tasks) {
        task();
    }
}

void Loop::run_due_timers() {
    while (!timers_.empty() && timers_.begin()->first.first <= now_) {
        Timer& timer = *timers_.begin()->second;
        timer.stop();
        timer.on_due_();
    }
}

void Loop::add(int fd, std::uint32_t events, Watcher& watcher) {
    epoll_event event{.events = events, .data = {.ptr = &watcher}};
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl add");
}

void Loop::modify(int fd, std::uint32_t events, Watcher& watcher) {
    epoll_event event{.events = events, .data = {.ptr = &watcher}};
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event), "epoll_ctl mod");
}

void Loop::remove(int fd, Watcher& watcher) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    forget_ready(watcher);
}

void Loop::replace(int fd, std::uint32_t events, Watcher& old, Watcher& next) {
    modify(fd, events, next);
    forget_ready(old);
}

void Loop::forget_ready(const Watcher& watcher) {
    for (std::size_t i = ready_at_; i < ready_count_; ++i) {
        if (ready_[i].data.ptr == &watcher) {
            ready_[i] = epoll_event{.events = 0, .data = {.ptr = nullptr}};
            // One descriptor is ready once. Most go while they are being called, and find themselves first: looking
            // through all the others for each would cost a storm of 1,000 goodbyes 1,000,000 looks.
            return;
        }
    }
}

void Loop::post(Task task) {
    bool first = false;
    {
        const std::scoped_lock lock(posted_mutex_);
        first = posted_.empty();
        posted_.push_back(std::move(task));
    }
    if (first) {
        const std::uint64_t one = 1;
        while (::write(wakeup_.get(), &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

void Loop::add_turn_end(TurnEnd& hook) {
    turn_ends_.push_back(&hook);
}

void Loop::remove_turn_end(TurnEnd& hook) {
    std::ranges::replace(turn_ends_, &hook, nullptr);
}

void Timer::start(std::chrono::nanoseconds delay) {
    stop();
    // At least 1 ns, so that a timer that starts itself again is due in a later turn, not in this one for ever.
    key_ = {loop_.now_ + std::max(delay, std::chrono::nanoseconds(1)), loop_.next_timer_++};
    loop_.timers_.emplace(key_, this);
    running_ = true;
}

void Timer::stop() {
    if (running_) {
        loop_.timers_.erase(key_);
        running_ = false;
    }
}

}  // namespace boardbus
