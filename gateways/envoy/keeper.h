// The thread that looks after all configurations of the process, four times a second.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace tokenpin_envoy {

class Keeper {
 public:
  using Task = std::function<void()>;
  using Handle = std::list<Task>::iterator;

  // The one of this process. It is never destroyed, but its thread ends with the last task, so that
  // the module can be unloaded.
  static Keeper& Get();

  // Runs `task` again and again, on the thread, until it is removed. False if there can be no
  // thread.
  bool Add(Task task, Handle* handle);
  // Returns when the task runs no more. Not for the task itself.
  void Remove(Handle handle);

 private:
  bool StartThread();
  void Run();

  std::mutex life_;  // of the thread
  std::mutex tasks_mutex_;
  std::condition_variable wake_;
  std::list<Task> tasks_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace tokenpin_envoy
