package io.github.tokenpin;

import java.util.Objects;

/**
 * State, weight and until of a slot: one atomic word.
 *
 * @param weight 0 to 65536, the full weight; at 0 the slot takes only sessions pinned to it
 * @param until the unix second from which a draining or down slot counts as up again; 0 for never
 */
public record SlotStatus(State state, int weight, long until) {
  /** Up, with the full weight. */
  public static final SlotStatus UP = of(State.UP);

  public SlotStatus {
    Objects.requireNonNull(state);
  }

  /** A state with the full weight, forever. */
  public static SlotStatus of(State state) {
    return new SlotStatus(state, Limits.MAX_WEIGHT, 0);
  }

  /** The same weight and until, with another state. */
  public SlotStatus withState(State state) {
    return new SlotStatus(state, weight, until);
  }

  void put(Core core, int at) {
    core.putLong(at + Layout.SLOT_STATUS_AT_UNTIL, until);
    core.putInt(at + Layout.SLOT_STATUS_AT_WEIGHT, weight);
    core.putByte(at + Layout.SLOT_STATUS_AT_STATE, state.number());
  }

  static SlotStatus at(Core core, int at) {
    return new SlotStatus(
        State.of(core.byteAt(at + Layout.SLOT_STATUS_AT_STATE)),
        core.intAt(at + Layout.SLOT_STATUS_AT_WEIGHT),
        core.longAt(at + Layout.SLOT_STATUS_AT_UNTIL));
  }
}
