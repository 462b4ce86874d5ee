package io.github.tokenpin;

import java.lang.invoke.VarHandle;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The bytes of a ring of keys, until it is closed. */
final class Ring {
  private volatile byte @Nullable [] bytes;

  Ring(byte[] bytes) {
    this.bytes = bytes;
  }

  /** Lays out a copy. */
  int put(Core core) {
    byte[] now = bytes;
    if (now != null) {
      int at = core.put(now);
      // Else it was being wiped while it was copied.
      VarHandle.acquireFence();
      if (bytes != null) {
        return at;
      }
    }
    throw Pool.closed();
  }

  void close() {
    byte[] before = bytes;
    bytes = null;
    VarHandle.fullFence();
    if (before != null) {
      Arrays.fill(before, (byte) 0);
    }
  }
}
