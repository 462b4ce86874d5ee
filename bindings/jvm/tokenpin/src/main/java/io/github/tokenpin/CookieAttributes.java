package io.github.tokenpin;

import java.util.Objects;

/**
 * The attributes of a cookie.
 *
 * @param path empty for {@code /}
 * @param domain empty for none
 */
public record CookieAttributes(
    String path,
    String domain,
    boolean secure,
    boolean httpOnly,
    SameSite sameSite,
    boolean partitioned) {
  /** {@code Path=/; Secure; HttpOnly; SameSite=Lax}. */
  public static final CookieAttributes DEFAULT =
      new CookieAttributes("", "", true, true, SameSite.LAX, false);

  public CookieAttributes {
    Objects.requireNonNull(path);
    Objects.requireNonNull(domain);
    Objects.requireNonNull(sameSite);
  }

  /**
   * The same without {@code Secure}: for plain HTTP, where the name of the cookie must not begin
   * with {@code __}.
   */
  public CookieAttributes insecure() {
    return new CookieAttributes(path, domain, false, httpOnly, sameSite, partitioned);
  }

  void put(Core core, int at) {
    core.bytes(at + Layout.ATTRIBUTES_AT_PATH, path);
    core.bytes(at + Layout.ATTRIBUTES_AT_DOMAIN, domain);
    core.putByte(at + Layout.ATTRIBUTES_AT_SECURE, secure ? 1 : 0);
    core.putByte(at + Layout.ATTRIBUTES_AT_HTTP_ONLY, httpOnly ? 1 : 0);
    core.putByte(at + Layout.ATTRIBUTES_AT_SAME_SITE, sameSite.number());
    core.putByte(at + Layout.ATTRIBUTES_AT_PARTITIONED, partitioned ? 1 : 0);
  }
}
