package io.github.tokenpin;

import java.util.Arrays;
import java.util.Objects;

/**
 * The contents of a cookie's value.
 *
 * @param id 16 bytes: the anonymous id; a nonce for the other kinds
 * @param pin the identity hash of the session's account
 * @param issuedAt the first issue, in unix seconds, 0 to 4294967295
 * @param refreshedAt the latest issue
 */
public record Cookie(Kind kind, byte[] id, long pin, long issuedAt, long refreshedAt) {
  public Cookie {
    Objects.requireNonNull(kind);
    id = CookieKey.sixteen(id, "an id").clone();
    if (issuedAt >>> 32 != 0 || refreshedAt >>> 32 != 0) {
      throw new TokenpinException(Status.TIME);
    }
  }

  @Override
  public byte[] id() {
    return id.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Cookie it
        && kind == it.kind
        && Arrays.equals(id, it.id)
        && pin == it.pin
        && issuedAt == it.issuedAt
        && refreshedAt == it.refreshedAt;
  }

  @Override
  public int hashCode() {
    return Objects.hash(kind, Arrays.hashCode(id), pin, issuedAt, refreshedAt);
  }

  /** Neither the id, by which its holder is known, nor the pin. */
  @Override
  public String toString() {
    return "Cookie[kind=" + kind + ", issuedAt=" + issuedAt + ", refreshedAt=" + refreshedAt + "]";
  }

  int put(Core core) {
    int at = core.reserve(Layout.COOKIE_SIZE);
    core.putLong(at + Layout.COOKIE_AT_PIN, pin);
    core.putInt(at + Layout.COOKIE_AT_ISSUED_AT, (int) issuedAt);
    core.putInt(at + Layout.COOKIE_AT_REFRESHED_AT, (int) refreshedAt);
    System.arraycopy(id, 0, core.frame, at + Layout.COOKIE_AT_ID, 16);
    core.putByte(at + Layout.COOKIE_AT_KIND, kind.number());
    return at;
  }

  static Cookie at(Core core, int at) {
    return new Cookie(
        Kind.of(core.byteAt(at + Layout.COOKIE_AT_KIND)),
        core.bytesAt(at + Layout.COOKIE_AT_ID, 16),
        core.longAt(at + Layout.COOKIE_AT_PIN),
        core.intAt(at + Layout.COOKIE_AT_ISSUED_AT) & 0xffffffffL,
        core.intAt(at + Layout.COOKIE_AT_REFRESHED_AT) & 0xffffffffL);
  }
}
