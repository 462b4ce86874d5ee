package io.github.tokenpin;

import java.util.Collection;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One key of a ring. Its secret is shown nowhere. */
public final class CookieKey {
  final int id;
  final Role role;
  final byte[] secret;

  private CookieKey(int id, Role role, byte[] secret) {
    if (id < 0 || id > 255) {
      throw new IllegalArgumentException("the id of a key is 0 to 255");
    }
    this.id = id;
    this.role = Objects.requireNonNull(role);
    this.secret = sixteen(secret, "a secret").clone();
  }

  /**
   * A key with a role.
   *
   * @param id 0 to 255: the number by which cookies and ids say which key signed them
   * @param secret 16 random bytes, the same on all replicas
   */
  public static CookieKey of(int id, Role role, byte[] secret) {
    return new CookieKey(id, role, secret);
  }

  /** A key that signs. */
  public static CookieKey of(int id, byte[] secret) {
    return new CookieKey(id, Role.SIGN, secret);
  }

  public int id() {
    return id;
  }

  public Role role() {
    return role;
  }

  @Override
  public String toString() {
    return "CookieKey[id=" + id + ", role=" + role + "]";
  }

  static byte[] sixteen(byte[] bytes, String what) {
    if (bytes.length != 16) {
      throw new IllegalArgumentException(what + " has 16 bytes");
    }
    return bytes;
  }

  /** Lays them out. */
  static int put(Core core, Collection<CookieKey> keys) {
    int at = core.reserve(keys.size(), Layout.COOKIE_KEY_SIZE);
    int one = at;
    for (CookieKey key : keys) {
      core.putByte(one + Layout.COOKIE_KEY_AT_ID, key.id);
      core.putByte(one + Layout.COOKIE_KEY_AT_ROLE, key.role.number());
      System.arraycopy(key.secret, 0, core.frame, one + Layout.COOKIE_KEY_AT_SECRET, 16);
      one += Layout.COOKIE_KEY_SIZE;
    }
    return at;
  }

  /** A function that makes a ring. */
  interface Maker {
    int make(Core core, long ring, long keys, long count, long placementKey, long error);
  }

  /** The bytes of a ring in the library. */
  static byte[] ring(
      Maker maker, int size, Collection<CookieKey> keys, byte @Nullable [] placementKey) {
    Core core = Pool.SHARED.borrow();
    try {
      int ring = core.reserve(size);
      int error = core.reserve(Layout.CONFIG_ERROR_SIZE);
      int placement =
          placementKey == null ? -1 : core.put(sixteen(placementKey, "the placement key"));
      int at = put(core, keys);
      core.send();
      int status =
          maker.make(
              core,
              core.address(ring),
              core.address(at),
              keys.size(),
              placement < 0 ? 0 : core.address(placement),
              core.address(error));
      try {
        ConfigException.check(core, status, error);
        return core.bytesAt(ring, size);
      } finally {
        core.wipe(0, core.used);
      }
    } finally {
      Pool.SHARED.release(core);
    }
  }
}
