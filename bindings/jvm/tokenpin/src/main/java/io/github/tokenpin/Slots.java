package io.github.tokenpin;

import java.lang.ref.Cleaner;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * A set of slots, and which of them serves a key: selection only, without cookies. May be used by
 * any number of threads concurrently.
 */
public final class Slots implements AutoCloseable {
  private final Pool pool;
  private final int count;
  private final Cleaner.Cleanable cleanable;

  private Slots(Pool pool, int count) {
    this.pool = pool;
    this.count = count;
    this.cleanable = pool.closeWith(this);
  }

  /** One slot after the other, 1 to 2147483647. */
  public static Slots of(List<Slot> slots) {
    if (slots.isEmpty()) {
      throw new TokenpinException(Status.SLOT_COUNT);
    }
    Pool pool = new Pool(Library.BACKEND.block((long) slots.size() * Layout.SLOT_SIZE));
    Core core = pool.borrow();
    boolean done = false;
    try {
      synchronized (Objects.requireNonNull(pool.block)) {
        long at = pool.block.address();
        for (Slot slot : slots) {
          make(core, slot, at);
          at += Layout.SLOT_SIZE;
        }
        core.publish();
      }
      done = true;
    } finally {
      pool.release(core);
      if (!done) {
        pool.close();
      }
    }
    return new Slots(pool, slots.size());
  }

  private static void make(Core core, Slot slot, long at) {
    if (slot.identity == null) {
      core.check(Functions.slotInitVacant(core, at));
      return;
    }
    core.begin();
    int status = core.reserve(Layout.SLOT_STATUS_SIZE);
    slot.status.put(core, status);
    int identity = core.put(slot.identity);
    int end = core.used;
    core.send();
    core.check(
        Functions.slotInit(core, at, core.address(identity), end - identity, core.address(status)));
  }

  /** The number of slots. */
  public int size() {
    return count;
  }

  private long address(int slot) {
    if (slot < 0 || slot >= count) {
      throw new TokenpinException(Status.SLOT_RANGE);
    }
    return Objects.requireNonNull(pool.block).address() + (long) slot * Layout.SLOT_SIZE;
  }

  /** Changes a slot, atomically, while other threads select. */
  public void set(int slot, SlotStatus status) {
    Core core = pool.borrow();
    try {
      synchronized (Objects.requireNonNull(pool.block)) {
        core.sync();
        int at = core.reserve(Layout.SLOT_STATUS_SIZE);
        status.put(core, at);
        core.send();
        core.check(Functions.slotSet(core, address(slot), core.address(at)));
        core.publish();
      }
    } finally {
      pool.release(core);
    }
  }

  /** The state, weight and until of a slot. */
  public SlotStatus get(int slot) {
    Core core = pool.borrow();
    try {
      int at = core.reserve(Layout.SLOT_STATUS_SIZE);
      core.send();
      core.check(Functions.slotGet(core, address(slot), core.address(at)));
      return SlotStatus.at(core, at);
    } finally {
      pool.release(core);
    }
  }

  /**
   * The slot that serves the key with this hash, by the strategy jump, at any time, with nothing
   * tried.
   */
  public OptionalInt select(long hash) {
    return select(hash, Filter.DEFAULT);
  }

  /**
   * The slot that serves the key with this hash. Of Higress's strategy see {@link #selectHigress}.
   */
  public OptionalInt select(long hash, Filter filter) {
    Core core = pool.borrow();
    try {
      int slot = core.reserve(4);
      int at = filter.put(core);
      core.send();
      core.check(
          Functions.select(
              core,
              filter.strategy().number(),
              address(0),
              count,
              core.address(at),
              hash,
              core.address(slot)));
      return found(core.intAt(slot));
    } finally {
      pool.release(core);
    }
  }

  /**
   * The slot that serves a key as Higress ai-proxy would choose it. {@code hash} is the key's
   * {@link Tokenpin#keyHash}.
   */
  public OptionalInt selectHigress(long hash, Key key, Filter filter) {
    Core core = pool.borrow();
    try {
      int slot = core.reserve(4);
      int at = filter.put(core);
      int keyAt = key.put(core);
      core.send();
      core.check(
          Functions.selectHigress(
              core,
              address(0),
              count,
              core.address(at),
              hash,
              core.address(keyAt),
              core.address(slot)));
      return found(core.intAt(slot));
    } finally {
      pool.release(core);
    }
  }

  /** {@link #select} for many hashes: the slot of each, -1 for none. */
  public int[] selectBatch(long[] hashes, Filter filter) {
    int[] selected = new int[hashes.length];
    selectBatch(hashes, filter, selected);
    return selected;
  }

  /** The same into an array of the same length. */
  public void selectBatch(long[] hashes, Filter filter, int[] selected) {
    if (selected.length != hashes.length) {
      throw new IllegalArgumentException("as many slots as hashes");
    }
    Core core = pool.borrow();
    try {
      for (int done = 0; done < hashes.length; done += BATCH) {
        batch(core, hashes, filter, selected, done, Math.min(BATCH, hashes.length - done));
      }
      if (hashes.length == 0) {
        batch(core, hashes, filter, selected, 0, 0);
      }
    } finally {
      pool.release(core);
    }
  }

  private static final int BATCH = 4096;

  private void batch(
      Core core, long[] hashes, Filter filter, int[] selected, int from, int length) {
    core.begin();
    int at = filter.put(core);
    int hashesAt = core.room(8 * length);
    for (int i = 0; i < length; i++) {
      core.putLong(hashesAt + 8 * i, hashes[from + i]);
    }
    int selectedAt = core.room(4 * length);
    core.send();
    core.check(
        Functions.selectBatch(
            core,
            filter.strategy().number(),
            address(0),
            count,
            core.address(at),
            core.address(hashesAt),
            length,
            core.address(selectedAt)));
    for (int i = 0; i < length; i++) {
      selected[from + i] = core.intAt(selectedAt + 4 * i);
    }
  }

  private static OptionalInt found(int slot) {
    return slot == -1 ? OptionalInt.empty() : OptionalInt.of(slot);
  }

  /** Ends it. Later calls throw an {@link IllegalStateException}. */
  @Override
  public void close() {
    cleanable.clean();
  }

  /**
   * The strategy of a selection, and its candidates.
   *
   * @param now unix seconds
   * @param anonymous whether the key is an anonymous id: a draining slot is a candidate only where
   *     nothing else is left
   * @param tried the slots that this request has tried already; null for none
   */
  public record Filter(Strategy strategy, long now, boolean anonymous, int @Nullable [] tried) {
    /** Jump, at the time 0, for a key that is no anonymous id, with nothing tried. */
    public static final Filter DEFAULT = new Filter(Strategy.JUMP, 0, false, null);

    public Filter {
      Objects.requireNonNull(strategy);
      tried = tried == null ? null : tried.clone();
    }

    int put(Core core) {
      int at = core.reserve(Layout.FILTER_SIZE);
      core.putLong(at + Layout.FILTER_AT_NOW, now);
      if (tried != null && tried.length != 0) {
        core.point(at + Layout.FILTER_AT_TRIED, Request.tried(core, tried));
        core.putWord(at + Layout.FILTER_AT_TRIED_COUNT, tried.length);
      }
      core.putByte(at + Layout.FILTER_AT_ANONYMOUS, anonymous ? 1 : 0);
      return at;
    }
  }
}
