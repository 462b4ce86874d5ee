package io.github.tokenpin;

/** Chooses the backend. Java 22 and later have another file in this one's place. */
final class Backends {
  private Backends() {}

  static Backend choose() {
    if ("native".equals(System.getProperty("tokenpin.backend"))) {
      throw new IllegalStateException("tokenpin.backend=native needs Java 22 or later");
    }
    return new WasmBackend();
  }
}
