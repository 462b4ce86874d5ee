package io.github.tokenpin;

/** Chooses the backend: the native library where it is found, else WebAssembly. */
final class Backends {
  private Backends() {}

  static Backend choose() {
    String wanted = System.getProperty("tokenpin.backend", "auto");
    return switch (wanted) {
      case "wasm" -> new WasmBackend();
      case "native" -> new NativeBackend(NativeBackend.library());
      case "auto" -> {
        try {
          yield new NativeBackend(NativeBackend.library());
        } catch (IllegalStateException e) {
          if (System.getProperty("tokenpin.library") != null) {
            throw e;
          }
          yield new WasmBackend();
        }
      }
      default ->
          throw new IllegalStateException("tokenpin.backend must be one of auto, native, wasm");
    };
  }
}
