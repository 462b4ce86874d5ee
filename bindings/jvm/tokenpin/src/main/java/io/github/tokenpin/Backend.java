package io.github.tokenpin;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodType;
import org.jspecify.annotations.Nullable;

/** The way to the library: as WebAssembly in this virtual machine, or as native code. */
abstract class Backend {
  abstract boolean isNative();

  /** See {@link Library#function}. */
  abstract MethodHandle function(String name, String kinds);

  /** Memory in the library that several cores see: zeroed. */
  abstract Block block(long size);

  abstract Core core(@Nullable Block block);

  /** The Java type of a function, without its core. */
  static MethodType type(String kinds) {
    int count = kinds.length() - 1;
    Class<?>[] parameters = new Class<?>[count];
    for (int i = 0; i < count; i++) {
      parameters[i] = "PZL".indexOf(kinds.charAt(i)) >= 0 ? long.class : int.class;
    }
    return MethodType.methodType(kinds.charAt(count) == 'V' ? void.class : int.class, parameters);
  }
}
