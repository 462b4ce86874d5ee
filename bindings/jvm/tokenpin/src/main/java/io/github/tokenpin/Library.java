package io.github.tokenpin;

import java.lang.invoke.MethodHandle;

/** The library that this process uses: one, chosen when the first class asks for it. */
final class Library {
  static final Backend BACKEND = Backends.choose();

  /** Returns whether its pointers have eight bytes, and not four. */
  static final boolean WIDE = BACKEND.isNative();

  private Library() {}

  /**
   * A function of the library, that takes a {@link Core} and then what {@code kinds} says: P a
   * pointer and Z a size as {@code long}, L, I, S and B a number of 64, 32, 16 and 8 bits, as
   * {@code long} or {@code int}. The last letter is what it gives: I a status, or V nothing.
   */
  static MethodHandle function(String name, String kinds) {
    return BACKEND.function(name, kinds);
  }
}
