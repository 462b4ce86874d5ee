package io.github.tokenpin;

/** Opens the ids of one request. Given to {@link Request#ids} when the body has been read. */
public final class IdOpener extends IdRewriter {
  private final byte[] summary = new byte[Layout.ID_SUMMARY_SIZE];
  private final String target;
  private int summaryAt;

  IdOpener(Affinity affinity, IdOptions options, String target) {
    super(affinity, options, Layout.ID_OPENER_SIZE);
    start();
    this.target = open(target);
  }

  private String open(String target) {
    Core core = affinity.borrow();
    try {
      int using = options.put(core);
      int at = core.reserve(summary.length);
      int length = core.reserve(8);
      int targetAt = core.put((Object) target);
      int targetLength = core.used - targetAt;
      int buffer = core.room(targetLength);
      core.send();
      core.check(Functions.idSummaryInit(core, core.address(at)));
      core.pull(at, summary.length);
      core.check(
          Functions.affinityOpenTarget(
              core,
              affinity.address(),
              core.address(using),
              core.address(at),
              core.address(targetAt),
              targetLength,
              core.address(buffer),
              targetLength,
              core.address(length)));
      core.read(at, summary, 0, summary.length);
      return core.textAt(buffer, (int) core.wordAt(length));
    } finally {
      affinity.release(core);
    }
  }

  /** The target with its ids opened, for the upstream. */
  public String target() {
    return target;
  }

  /** The ids so far. */
  public synchronized IdReport report() {
    Core core = Pool.SHARED.borrow();
    try {
      int report = core.reserve(Layout.ID_REPORT_SIZE);
      int at = core.put(summary);
      core.send();
      core.check(Functions.idSummaryReport(core, core.address(at), core.address(report)));
      return new IdReport(
          IdVerdict.of(core.byteAt(report + Layout.ID_REPORT_AT_VERDICT)),
          IdReport.keys(
              core.byteAt(report + Layout.ID_REPORT_AT_KEYS),
              core.byteAt(report + Layout.ID_REPORT_AT_KEYS + 1)),
          core.byteAt(report + Layout.ID_REPORT_AT_REFUSED) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_UNREADABLE) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_EXISTING) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_SEALS) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_CHANGES_RESPONSE) == 1,
          core.textAt(
              report + Layout.ID_REPORT_AT_QUOTED,
              core.byteAt(report + Layout.ID_REPORT_AT_QUOTED_LEN)),
          core.byteAt(report + Layout.ID_REPORT_AT_UNSTORED) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_UPLOADS) == 1,
          core.byteAt(report + Layout.ID_REPORT_AT_DOWNLOADS) == 1,
          core.intAt(report + Layout.ID_REPORT_AT_OPENED) & 0xffffffffL,
          core.intAt(report + Layout.ID_REPORT_AT_PLAIN) & 0xffffffffL,
          core.intAt(report + Layout.ID_REPORT_AT_ECHOES_LOST) & 0xffffffffL);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  synchronized int putSummary(Core core) {
    return core.put(summary);
  }

  @Override
  int init(Core core, int state) {
    return Functions.idOpenerInit(core, core.address(state));
  }

  @Override
  void put(Core core) {
    summaryAt = core.put(summary);
  }

  @Override
  void keep(Core core) {
    core.pull(summaryAt, summary.length);
    System.arraycopy(core.frame, summaryAt, summary, 0, summary.length);
  }

  @Override
  int step(Core core, long using, long state, long chunk, int length, long piece) {
    return Functions.affinityOpenStep(
        core, affinity.address(), using, core.address(summaryAt), state, chunk, length, piece);
  }

  @Override
  int end(Core core, long using, long state, long piece) {
    return Functions.affinityOpenEnd(
        core, affinity.address(), using, core.address(summaryAt), state, piece);
  }
}
