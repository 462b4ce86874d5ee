#include "keeper.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>

namespace tokenpin_envoy {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(250);

}  // namespace

Keeper& Keeper::Get() {
  static Keeper* const keeper = new Keeper;
  return *keeper;
}

bool Keeper::Add(Task task, Handle* handle) {
  const std::lock_guard life(life_);
  if (!thread_.joinable() && !StartThread()) return false;
  const std::lock_guard lock(tasks_mutex_);
  *handle = tasks_.insert(tasks_.end(), std::move(task));
  return true;
}

void Keeper::Remove(Handle handle) {
  const std::lock_guard life(life_);
  {
    const std::lock_guard lock(tasks_mutex_);
    tasks_.erase(handle);
    if (!tasks_.empty()) return;
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
  ending_ = false;
}

bool Keeper::StartThread() {
  // Signals are for Envoy's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void Keeper::Run() {
  std::unique_lock lock(tasks_mutex_);
  while (!wake_.wait_for(lock, kInterval, [this] { return ending_; })) {
    for (const Task& task : tasks_) task();
  }
}

}  // namespace tokenpin_envoy
