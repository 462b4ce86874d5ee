package io.github.tokenpin;

import org.jspecify.annotations.Nullable;

/** Seals the ids of one response. */
public final class IdSealer extends IdRewriter {
  private final @Nullable IdOpener opener;
  private final int slot;
  private final boolean events;
  private int summaryAt;

  IdSealer(
      Affinity affinity, IdOptions options, @Nullable IdOpener opener, int slot, boolean events) {
    super(affinity, options, Layout.ID_SEALER_SIZE);
    this.opener = opener;
    this.slot = slot;
    this.events = events;
    // An account that is not there is refused here, and not with the first chunk.
    target("/");
    start();
  }

  /**
   * A target or an absolute URI with its ids sealed: of {@code Location}, {@code Content-Location}
   * and {@code Operation-Location}.
   */
  public String target(String target) {
    Core core = affinity.borrow();
    try {
      for (int capacity = 1024; ; ) {
        core.begin();
        int using = options.put(core);
        int summary = opener == null ? -1 : opener.putSummary(core);
        int length = core.reserve(8);
        int at = core.put((Object) target);
        int targetLength = core.used - at;
        int buffer = core.room(capacity);
        core.send();
        int status =
            Functions.affinitySealTarget(
                core,
                affinity.address(),
                core.address(using),
                Key.address(core, summary),
                slot,
                core.address(at),
                targetLength,
                core.address(buffer),
                capacity,
                core.address(length));
        int needed = (int) core.wordAt(length);
        if (status == Status.BUFFER_TOO_SMALL.number()) {
          capacity = needed;
          continue;
        }
        core.check(status);
        return core.textAt(buffer, needed);
      }
    } finally {
      affinity.release(core);
    }
  }

  @Override
  int init(Core core, int state) {
    return Functions.idSealerInit(core, core.address(state), events ? 1 : 0);
  }

  @Override
  void put(Core core) {
    summaryAt = opener == null ? -1 : opener.putSummary(core);
  }

  @Override
  void keep(Core core) {}

  @Override
  int step(Core core, long using, long state, long chunk, int length, long piece) {
    return Functions.affinitySealStep(
        core,
        affinity.address(),
        using,
        Key.address(core, summaryAt),
        slot,
        state,
        chunk,
        length,
        piece);
  }

  @Override
  int end(Core core, long using, long state, long piece) {
    return Functions.affinitySealEnd(
        core, affinity.address(), using, Key.address(core, summaryAt), slot, state, piece);
  }
}
