package io.github.tokenpin;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One place in a set of accounts: an account, or nothing. */
public final class Slot {
  private static final Slot VACANT = new Slot(null, SlotStatus.of(State.VACANT));

  final @Nullable Object identity;
  final SlotStatus status;

  private Slot(@Nullable Object identity, SlotStatus status) {
    this.identity = identity;
    this.status = Objects.requireNonNull(status);
  }

  /** The account of this name, which outlives its tokens. Up, with the full weight. */
  public static Slot of(String identity) {
    return of(identity, SlotStatus.UP);
  }

  /** The account of this name. */
  public static Slot of(String identity, SlotStatus status) {
    return new Slot(Objects.requireNonNull(identity), status);
  }

  /** The account of this name, in bytes. */
  public static Slot of(byte[] identity, SlotStatus status) {
    return new Slot(identity.clone(), status);
  }

  /** Room to grow. */
  public static Slot vacant() {
    return VACANT;
  }
}
