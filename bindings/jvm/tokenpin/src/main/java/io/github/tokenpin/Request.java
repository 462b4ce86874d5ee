package io.github.tokenpin;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One request, to be filled in and given to {@link Affinity#decide}. Everything may be left out.
 * Not for several threads concurrently; {@link #clear} makes it new.
 */
public final class Request {
  @Nullable Object method;
  @Nullable Object target;
  final List<Object> consumers = new ArrayList<>(1);
  final List<Object> sessions = new ArrayList<>(1);
  final List<Object> cookies = new ArrayList<>(2);
  @Nullable Object carrierValue;
  @Nullable Object scope;
  @Nullable IdOpener ids;
  int[] tried = {};
  long now;
  byte @Nullable [] entropy;
  byte @Nullable [] idHint;
  @Nullable Group group;
  boolean hasNow;
  boolean existing;
  boolean consumerTrusted;
  boolean carrier;

  /** The method, and the target as the client sent it, such as {@code /v1/responses?x=1}. */
  public static Request of(String method, String target) {
    return new Request().method(method).target(target);
  }

  /** Resets everything to the start. */
  public Request clear() {
    method = target = carrierValue = scope = null;
    consumers.clear();
    sessions.clear();
    cookies.clear();
    ids = null;
    tried = new int[0];
    entropy = idHint = null;
    group = null;
    now = 0;
    hasNow = existing = consumerTrusted = carrier = false;
    return this;
  }

  /**
   * The method, which classification reads. {@code CONNECT} for the handshake of a WebSocket, also
   * where that is a {@code GET} with {@code Upgrade}.
   */
  public Request method(String method) {
    this.method = Objects.requireNonNull(method);
    return this;
  }

  /** The target as the client sent it. */
  public Request target(String target) {
    this.target = Objects.requireNonNull(target);
    return this;
  }

  /**
   * One value of the header with the consumer's name. Empty ones are skipped, and equal ones count
   * as one.
   */
  public Request consumer(String name) {
    consumers.add(Objects.requireNonNull(name));
    return this;
  }

  /** The same, in bytes that must not change before the decision. */
  public Request consumer(byte[] name) {
    consumers.add(Objects.requireNonNull(name));
    return this;
  }

  /**
   * True if the consumer's name comes from a source that may name consumers: from the gateway, and
   * not from a client. Default false.
   */
  public Request consumerTrusted(boolean trusted) {
    consumerTrusted = trusted;
    return this;
  }

  /** One value of the header with the session key. */
  public Request session(String key) {
    sessions.add(Objects.requireNonNull(key));
    return this;
  }

  /** The same, in bytes that must not change before the decision. */
  public Request session(byte[] key) {
    sessions.add(Objects.requireNonNull(key));
    return this;
  }

  /** The value of one {@code Cookie} field. */
  public Request cookie(String field) {
    cookies.add(Objects.requireNonNull(field));
    return this;
  }

  /** The same, in bytes that must not change before the decision. */
  public Request cookie(byte[] field) {
    cookies.add(Objects.requireNonNull(field));
    return this;
  }

  /** A cookie's value that came in a separate header. */
  public Request carrierValue(String value) {
    carrierValue = Objects.requireNonNull(value);
    return this;
  }

  /** True if the cookie's value is returned in a separate header. Implied by a carrier value. */
  public Request carrier(boolean carrier) {
    this.carrier = carrier;
    return this;
  }

  /** The scope, up to 1024 bytes; empty for the configured one. */
  public Request scope(String scope) {
    this.scope = Objects.requireNonNull(scope);
    return this;
  }

  /** The same, in bytes that must not change before the decision. */
  public Request scope(byte[] scope) {
    this.scope = Objects.requireNonNull(scope);
    return this;
  }

  /** The ids of its target and body. */
  public Request ids(@Nullable IdOpener ids) {
    this.ids = ids;
    return this;
  }

  /** The slots that this request has tried already. */
  public Request tried(int... slots) {
    tried = slots.clone();
    return this;
  }

  /** Unix seconds. Default: the system's clock. */
  public Request now(long now) {
    this.now = now;
    hasNow = true;
    return this;
  }

  /** Sixteen fresh random bytes. Default: the system's random source. */
  public Request entropy(byte[] entropy) {
    this.entropy = CookieKey.sixteen(entropy, "entropy").clone();
    return this;
  }

  /**
   * The result of {@link Affinity#idHint} for something that belongs to one client only; null if in
   * doubt.
   */
  public Request idHint(byte @Nullable [] hint) {
    idHint = hint == null ? null : CookieKey.sixteen(hint, "an id hint").clone();
    return this;
  }

  /** The group of the API; null to classify method and target. */
  public Request group(@Nullable Group group) {
    this.group = group;
    return this;
  }

  /** True if the request names existing state. */
  public Request existing(boolean existing) {
    this.existing = existing;
    return this;
  }

  /** Lays it out. */
  int put(Core core) {
    int at = core.reserve(Layout.REQUEST_SIZE);
    core.bytes(at + Layout.REQUEST_AT_METHOD, method);
    core.bytes(at + Layout.REQUEST_AT_TARGET, target);
    list(core, consumers, at + Layout.REQUEST_AT_CONSUMERS, at + Layout.REQUEST_AT_CONSUMER_COUNT);
    list(core, sessions, at + Layout.REQUEST_AT_SESSIONS, at + Layout.REQUEST_AT_SESSION_COUNT);
    list(core, cookies, at + Layout.REQUEST_AT_COOKIES, at + Layout.REQUEST_AT_COOKIE_COUNT);
    core.bytes(at + Layout.REQUEST_AT_CARRIER_VALUE, carrierValue);
    core.bytes(at + Layout.REQUEST_AT_SCOPE, scope);
    if (ids != null) {
      core.point(at + Layout.REQUEST_AT_IDS, ids.putSummary(core));
    }
    if (tried.length != 0) {
      core.point(at + Layout.REQUEST_AT_TRIED, tried(core, tried));
      core.putWord(at + Layout.REQUEST_AT_TRIED_COUNT, tried.length);
    }
    core.putLong(at + Layout.REQUEST_AT_NOW, hasNow ? now : Tokenpin.now());
    if (idHint != null) {
      core.point(at + Layout.REQUEST_AT_ID_HINT, core.put(idHint));
    }
    if (entropy != null) {
      System.arraycopy(entropy, 0, core.frame, at + Layout.REQUEST_AT_ENTROPY, 16);
    }
    if (group != null) {
      core.putByte(at + Layout.REQUEST_AT_HAS_GROUP, 1);
      core.putByte(at + Layout.REQUEST_AT_GROUP, group.number());
    }
    core.putByte(at + Layout.REQUEST_AT_EXISTING, existing ? 1 : 0);
    core.putByte(at + Layout.REQUEST_AT_CONSUMER_TRUSTED, consumerTrusted ? 1 : 0);
    core.putByte(at + Layout.REQUEST_AT_CARRIER, carrier ? 1 : 0);
    return at;
  }

  static int tried(Core core, int[] slots) {
    int at = core.reserve(slots.length, 4);
    for (int i = 0; i < slots.length; i++) {
      core.putInt(at + 4 * i, slots[i]);
    }
    return at;
  }

  private static void list(Core core, List<Object> values, int where, int count) {
    int length = values.size();
    if (length == 0) {
      return;
    }
    int at = core.reserve(length, Layout.BYTES_SIZE);
    core.point(where, at);
    core.putWord(count, length);
    for (int i = 0; i < length; i++) {
      core.bytes(at + i * Layout.BYTES_SIZE, values.get(i));
    }
  }
}
