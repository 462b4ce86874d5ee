package io.github.tokenpin;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** An affinity key: what identifies a session. */
public final class Key {
  private final Kind kind;
  private final Object key;
  private final @Nullable Object session;

  private Key(Kind kind, Object key, @Nullable Object session) {
    this.kind = kind;
    this.key = Objects.requireNonNull(key);
    this.session = session;
  }

  /** The 16 bytes of an anonymous id. */
  public static Key anonymous(byte[] id) {
    return new Key(Kind.ANONYMOUS, id.clone(), null);
  }

  /** A consumer's name, 1 to 4096 bytes. */
  public static Key consumer(String name) {
    return new Key(Kind.CONSUMER, name, null);
  }

  /** A consumer's name, 1 to 4096 bytes. */
  public static Key consumer(byte[] name) {
    return new Key(Kind.CONSUMER, name.clone(), null);
  }

  /** A session key, 1 to 4096 bytes. */
  public static Key session(String key) {
    return new Key(Kind.SESSION, key, null);
  }

  /** A session key, 1 to 4096 bytes. */
  public static Key session(byte[] key) {
    return new Key(Kind.SESSION, key.clone(), null);
  }

  /** A consumer's name and a session key, each 1 to 4096 bytes. */
  public static Key combined(String name, String key) {
    return new Key(Kind.COMBINED, name, Objects.requireNonNull(key));
  }

  /** A consumer's name and a session key, each 1 to 4096 bytes. */
  public static Key combined(byte[] name, byte[] key) {
    return new Key(Kind.COMBINED, name.clone(), key.clone());
  }

  public Kind kind() {
    return kind;
  }

  /** Lays it out. */
  int put(Core core) {
    int at = core.reserve(Layout.KEY_SIZE);
    core.putByte(at + Layout.KEY_AT_KIND, kind.number());
    core.bytes(at + Layout.KEY_AT_KEY, key);
    core.bytes(at + Layout.KEY_AT_SESSION, session);
    return at;
  }

  static long address(Core core, int at) {
    return at < 0 ? 0 : core.address(at);
  }

  /** The same for what may be none: -1. */
  static int put(Core core, @Nullable Key key) {
    return key == null ? -1 : key.put(core);
  }
}
