package io.github.tokenpin;

/**
 * Memory in the library that several cores see: an affinity, or slots. A thread that changes it
 * holds its lock, and then calls {@link Core#publish}.
 */
abstract class Block {
  abstract long address();

  /** No core has it any more. */
  abstract void wipe();
}
