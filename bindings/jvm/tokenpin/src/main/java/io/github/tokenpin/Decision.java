package io.github.tokenpin;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** The answer to a request: immutable, to be kept until its response. */
public final class Decision {
  private final byte[] raw;

  Decision(byte[] raw) {
    this.raw = raw;
  }

  private int number(int at) {
    return raw[at] & 0xff;
  }

  private int integer(int at) {
    return (int) Core.INTS.get(raw, at);
  }

  /** The slot that serves; empty if the gateway has to answer itself. */
  public OptionalInt slot() {
    int slot = integer(Layout.DECISION_AT_SLOT);
    return slot == -1 ? OptionalInt.empty() : OptionalInt.of(slot);
  }

  /** The source of the affinity. */
  public Source source() {
    return Source.of(number(Layout.DECISION_AT_SOURCE));
  }

  /** The outcome of the decision. */
  public Outcome outcome() {
    return Outcome.of(number(Layout.DECISION_AT_OUTCOME));
  }

  /** The state of the pinned account. */
  public PinState pinState() {
    return PinState.of(number(Layout.DECISION_AT_PIN_STATE));
  }

  /** The verdict on the request's cookies. */
  public Verdict verdict() {
    return Verdict.of(number(Layout.DECISION_AT_VERDICT));
  }

  /** The verdict on the request's ids. */
  public IdVerdict idVerdict() {
    return IdVerdict.of(number(Layout.DECISION_AT_ID_VERDICT));
  }

  /**
   * The numbers of keys, which {@link Affinity#idKey} spells: the key of the id that names the
   * account or is refused, and for a conflict both keys.
   */
  public int[] idKeys() {
    int first = number(Layout.DECISION_AT_ID_KEYS);
    int second = number(Layout.DECISION_AT_ID_KEYS + 1);
    return IdReport.keys(first, second);
  }

  /** The reason why a key is not used, or ok. */
  public KeyReason keyReason() {
    return KeyReason.of(number(Layout.DECISION_AT_KEY_REASON));
  }

  /** Returns whether valid cookies with different ids were there. */
  public boolean ambiguous() {
    return number(Layout.DECISION_AT_AMBIGUOUS) == 1;
  }

  /** Returns whether the request names existing state. */
  public boolean existing() {
    return number(Layout.DECISION_AT_EXISTING) == 1;
  }

  /** Returns whether the request may be sent to another account where this one refuses it. */
  public boolean mayMove() {
    return number(Layout.DECISION_AT_MAY_MOVE) == 1;
  }

  /** Without a slot: the seconds until one may serve; 0 if that is unknown. */
  public long retryAfter() {
    return integer(Layout.DECISION_AT_RETRY_AFTER) & 0xffffffffL;
  }

  /** The fingerprint of the configuration that decided. */
  public long fingerprint() {
    return (long) Core.LONGS.get(raw, Layout.DECISION_AT_FINGERPRINT);
  }

  /** Returns whether a cookie is returned if the response is a success. */
  public boolean setsCookie() {
    return number(Layout.DECISION_AT_COOKIE) == 1;
  }

  /** Returns whether it is returned in the carrier header. */
  public boolean carrier() {
    return number(Layout.DECISION_AT_CARRIER) == 1;
  }

  /** The value of that cookie: a credential of the client, and not for logs. */
  public @Nullable String cookieValue() {
    if (!setsCookie()) {
      return null;
    }
    return new String(
        raw, Layout.DECISION_AT_VALUE, Limits.COOKIE_VALUE_LEN, StandardCharsets.US_ASCII);
  }

  /** The {@code Max-Age} of that cookie. */
  public long maxAge() {
    return integer(Layout.DECISION_AT_MAX_AGE) & 0xffffffffL;
  }

  /** The refusal to answer with if no slot serves: the code that clients see. */
  public Refusal refusal() {
    return Refusal.of((int) refused() & 0xff);
  }

  /** The HTTP status of that answer; 200 where a slot serves. */
  public int refusalStatus() {
    return (int) (refused() >> 8);
  }

  private long refused() {
    Core core = Pool.SHARED.borrow();
    try {
      int at = put(core);
      int status = core.reserve(2);
      int refusal = core.reserve(1);
      core.send();
      core.check(
          Functions.decisionRefusal(
              core, core.address(at), core.address(status), core.address(refusal)));
      return (long) (core.byteAt(status) | core.byteAt(status + 1) << 8) << 8
          | core.byteAt(refusal);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  int put(Core core) {
    return core.put(raw);
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Decision it && Arrays.equals(raw, it.raw);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(raw);
  }

  /** Without the value of the cookie. */
  @Override
  public String toString() {
    return "Decision[slot="
        + slot()
        + ", source="
        + source()
        + ", outcome="
        + outcome()
        + ", pinState="
        + pinState()
        + ", verdict="
        + verdict()
        + ", idVerdict="
        + idVerdict()
        + ", keyReason="
        + keyReason()
        + "]";
  }
}
