package io.github.tokenpin;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The cores of one block, as many as are used at a time. A call takes one and gives it back, so
 * threads do not meet. The block ends with its last core: a call that runs when the pool is closed
 * comes to its end.
 */
final class Pool {
  private static final Cleaner CLEANER = Cleaner.create();
  private static final int STRIPES =
      Integer.highestOneBit(Math.min(Runtime.getRuntime().availableProcessors(), 32)) * 2;

  /** Elements apart, so that cores of two threads are on two cache lines. */
  private static final int APART = 16;

  /** For what needs no block. Never closed. */
  static final Pool SHARED = new Pool(null);

  final @Nullable Block block;
  private final AtomicReferenceArray<@Nullable Core> idle =
      new AtomicReferenceArray<>(STRIPES * APART);

  /** The number of cores, and one more until it is closed. */
  private final AtomicInteger alive = new AtomicInteger(1);

  private volatile boolean closed;

  Pool(@Nullable Block block) {
    this.block = block;
  }

  /** Closes this pool when no one refers to {@code owner} any more. */
  Cleaner.Cleanable closeWith(Object owner) {
    return CLEANER.register(owner, this::close);
  }

  Core borrow() {
    int start = stripe();
    for (int i = 0; i < STRIPES; i++) {
      int at = ((start + i) & (STRIPES - 1)) * APART;
      if (idle.get(at) != null) {
        Core core = idle.getAndSet(at, null);
        if (core != null) {
          return ready(core);
        }
      }
    }
    int cores;
    do {
      cores = alive.get();
      if (cores == 0 || closed) {
        throw closed();
      }
    } while (!alive.compareAndSet(cores, cores + 1));
    Core core;
    try {
      core = Library.BACKEND.core(block);
    } catch (Throwable e) {
      gone();
      throw e;
    }
    return ready(core);
  }

  private Core ready(Core core) {
    if (closed) {
      drop(core);
      throw closed();
    }
    core.sync();
    core.begin();
    return core;
  }

  void release(Core core) {
    if (core.rest() && !closed) {
      int start = stripe();
      for (int i = 0; i < STRIPES; i++) {
        int at = ((start + i) & (STRIPES - 1)) * APART;
        if (idle.get(at) == null && idle.compareAndSet(at, null, core)) {
          if (closed) {
            drain();
          }
          return;
        }
      }
    }
    drop(core);
  }

  void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    drain();
    gone();
  }

  private void drain() {
    for (int i = 0; i < STRIPES; i++) {
      Core core = idle.getAndSet(i * APART, null);
      if (core != null) {
        drop(core);
      }
    }
  }

  private void drop(Core core) {
    core.end();
    gone();
  }

  private void gone() {
    if (alive.decrementAndGet() == 0 && block != null) {
      block.wipe();
    }
  }

  static IllegalStateException closed() {
    return new IllegalStateException("it is closed");
  }

  private static int stripe() {
    return (int) (Thread.currentThread().getId() * 0x9e3779b97f4a7c15L >>> 56);
  }
}
