package io.github.tokenpin;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The keys that sign and check the values of cookies. May be used by any number of threads
 * concurrently.
 */
public final class KeyRing implements AutoCloseable {
  /**
   * The result of reading a value.
   *
   * @param cookie its content, if its tag is good; use it only if the verdict is {@code VALID} or
   *     {@code REFRESH_DUE}
   */
  public record Decoded(Verdict verdict, @Nullable Cookie cookie) {}

  private final Ring ring;

  private KeyRing(byte[] bytes) {
    ring = new Ring(bytes);
  }

  /** 1 to 8 keys, exactly one of which signs. */
  public static KeyRing of(List<CookieKey> keys) {
    return of(keys, null);
  }

  /** The same, and no secret may equal the placement key. */
  public static KeyRing of(List<CookieKey> keys, byte @Nullable [] placementKey) {
    return new KeyRing(
        CookieKey.ring(Functions::keyRingInit, Layout.KEY_RING_SIZE, keys, placementKey));
  }

  /**
   * The value of a cookie.
   *
   * @param key what the cookie is bound to, of its kind; may be null for an anonymous one
   */
  public String encode(Cookie cookie, String name, byte[] scope, @Nullable Key key) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int value = core.reserve(Limits.COOKIE_VALUE_LEN);
      int cookieAt = cookie.put(core);
      int keyAt = Key.put(core, key);
      int scopeAt = core.put(scope);
      int nameAt = core.put((Object) name);
      int nameEnd = core.used;
      core.send();
      int status =
          Functions.cookieEncode(
              core,
              core.address(at),
              core.address(nameAt),
              nameEnd - nameAt,
              core.address(scopeAt),
              scope.length,
              Key.address(core, keyAt),
              core.address(cookieAt),
              core.address(value));
      core.wipe(at, Layout.KEY_RING_SIZE);
      core.check(status);
      return core.textAt(value, Limits.COOKIE_VALUE_LEN);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /**
   * Reads the value of a cookie. A bad value is a verdict, and no exception.
   *
   * @param key the affinity key of the request, or null for an anonymous one
   * @param now unix seconds
   */
  public Decoded decode(
      String value, String name, byte[] scope, @Nullable Key key, CookieLimits limits, long now) {
    return decode(value.getBytes(StandardCharsets.UTF_8), name, scope, key, limits, now);
  }

  /** The same of bytes. */
  public Decoded decode(
      byte[] value, String name, byte[] scope, @Nullable Key key, CookieLimits limits, long now) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int verdict = core.reserve(1);
      int cookie = core.reserve(Layout.COOKIE_SIZE);
      int limitsAt = limits.put(core);
      int keyAt = Key.put(core, key);
      int scopeAt = core.put(scope);
      int valueAt = core.put(value);
      int nameAt = core.put((Object) name);
      int nameEnd = core.used;
      core.send();
      int status =
          Functions.cookieDecode(
              core,
              core.address(at),
              core.address(nameAt),
              nameEnd - nameAt,
              core.address(scopeAt),
              scope.length,
              Key.address(core, keyAt),
              core.address(limitsAt),
              now,
              core.address(valueAt),
              value.length,
              core.address(verdict),
              core.address(cookie));
      core.wipe(at, Layout.KEY_RING_SIZE);
      core.check(status);
      Verdict found = Verdict.of(core.byteAt(verdict));
      return new Decoded(
          found, found.compareTo(Verdict.OTHER_KEY) < 0 ? null : Cookie.at(core, cookie));
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** Wipes the keys. Calls from then on throw an {@link IllegalStateException}. */
  @Override
  public void close() {
    ring.close();
  }
}
