package io.github.tokenpin;

import java.lang.ref.Cleaner;
import java.util.Objects;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * One configuration at work: which account serves a request, and which cookie is returned.
 *
 * <p>Immutable except for the state, weight and until of its slots. May be used by any number of
 * threads concurrently, without locks. Its keys are wiped when it is closed, or when no one refers
 * to it any more; calls from then on throw an {@link IllegalStateException}. So a gateway that
 * loads a new configuration just drops the old one, or closes it when all of its requests have
 * ended.
 */
public final class Affinity implements AutoCloseable {
  private final Pool pool;
  private final long offset;
  private final int capacity;
  private final Cleaner.Cleanable cleanable;

  Affinity(Pool pool, long offset, int capacity) {
    this.pool = pool;
    this.offset = offset;
    this.capacity = capacity;
    this.cleanable = pool.closeWith(this);
  }

  /** A new configuration, with the defaults. */
  public static AffinityBuilder builder() {
    return new AffinityBuilder();
  }

  Core borrow() {
    return pool.borrow();
  }

  void release(Core core) {
    pool.release(core);
  }

  long address() {
    return block().address() + offset;
  }

  private Block block() {
    return Objects.requireNonNull(pool.block);
  }

  /**
   * Decides which slot serves a request, and which cookie is set on success.
   *
   * @throws TokenpinException SCOPE_LENGTH, SLOT_RANGE, TIME or ENTROPY
   */
  public Decision decide(Request request) {
    Core core = pool.borrow();
    try {
      int decision = core.reserve(Layout.DECISION_SIZE);
      int at = request.put(core);
      core.send();
      int status =
          Functions.affinityDecide(core, address(), core.address(at), core.address(decision));
      if (status == Status.ENTROPY.number() && request.entropy == null) {
        // Most requests need no random bytes, which cost more than all the rest.
        core.entropy(at + Layout.REQUEST_AT_ENTROPY);
        status =
            Functions.affinityDecide(core, address(), core.address(at), core.address(decision));
      }
      core.check(status);
      return new Decision(core.bytesAt(decision, Layout.DECISION_SIZE));
    } finally {
      pool.release(core);
    }
  }

  /**
   * Ends a request: returns what goes to the client, by the status of the account's response.
   *
   * @throws TokenpinException STALE if another configuration decided
   */
  public Finished finish(Decision decision, int status) {
    AffinityBuilder.status(status);
    Core core = pool.borrow();
    try {
      int at = decision.put(core);
      int length = core.reserve(8);
      int answer = core.reserve(1);
      // Nothing is read of it but what is written to it.
      int buffer = core.used;
      core.send();
      core.fit(buffer + Limits.MAX_SET_COOKIE);
      core.check(
          Functions.affinityFinish(
              core,
              address(),
              core.address(at),
              status,
              core.address(buffer),
              Limits.MAX_SET_COOKIE,
              core.address(length),
              core.address(answer)));
      int found = core.byteAt(answer);
      if (found == 0) {
        return Finished.NOTHING;
      }
      return new Finished(Answer.of(found), core.textAt(buffer, (int) core.wordAt(length)));
    } finally {
      pool.release(core);
    }
  }

  /** The number of slots, vacant ones included. */
  public int capacity() {
    return capacity;
  }

  /**
   * Changes a slot atomically, while other threads decide. Every decision that begins afterwards
   * sees the change.
   */
  public void setSlot(int slot, SlotStatus status) {
    Core core = pool.borrow();
    try {
      synchronized (block()) {
        core.sync();
        int at = core.reserve(Layout.SLOT_STATUS_SIZE);
        status.put(core, at);
        core.send();
        core.check(Functions.affinitySetSlot(core, address(), slot, core.address(at)));
        core.publish();
      }
    } finally {
      pool.release(core);
    }
  }

  /** The state, weight and until of a slot. */
  public SlotStatus getSlot(int slot) {
    Core core = pool.borrow();
    try {
      int at = core.reserve(Layout.SLOT_STATUS_SIZE);
      core.send();
      core.check(Functions.affinityGetSlot(core, address(), slot, core.address(at), 0));
      return SlotStatus.at(core, at);
    } finally {
      pool.release(core);
    }
  }

  /**
   * The identity hash of the account in a slot, by which cookies and ids name it. 0 for a vacant
   * slot.
   */
  public long pin(int slot) {
    Core core = pool.borrow();
    try {
      int at = core.reserve(Layout.SLOT_STATUS_SIZE);
      int hash = core.reserve(8);
      core.send();
      core.check(
          Functions.affinityGetSlot(core, address(), slot, core.address(at), core.address(hash)));
      return core.longAt(hash);
    } finally {
      pool.release(core);
    }
  }

  /** The slot of the account of this name. */
  public OptionalInt find(String identity) {
    Core core = pool.borrow();
    try {
      int slot = core.reserve(4);
      int at = core.put((Object) identity);
      int end = core.used;
      core.send();
      core.check(
          Functions.affinityFind(core, address(), core.address(at), end - at, core.address(slot)));
      int found = core.intAt(slot);
      return found == -1 ? OptionalInt.empty() : OptionalInt.of(found);
    } finally {
      pool.release(core);
    }
  }

  /**
   * The cookie's name. Strip the cookie with this name from requests, and from the upstream's
   * responses.
   */
  public String cookieName() {
    return cookieName("");
  }

  /** The name of a scope's cookie. */
  public String cookieName(String scope) {
    return cookieNameOf(scope);
  }

  /** The name of a scope's cookie. */
  public String cookieName(byte[] scope) {
    return cookieNameOf(scope);
  }

  private String cookieNameOf(Object scope) {
    Core core = pool.borrow();
    try {
      int length = core.reserve(8);
      int buffer = core.reserve(Limits.MAX_COOKIE_NAME);
      int at = core.put(scope);
      int end = core.used;
      core.send();
      core.check(
          Functions.affinityCookieName(
              core,
              address(),
              core.address(at),
              end - at,
              core.address(buffer),
              Limits.MAX_COOKIE_NAME,
              core.address(length)));
      return core.textAt(buffer, (int) core.wordAt(length));
    } finally {
      pool.release(core);
    }
  }

  /**
   * The id hint of the client that {@code of} belongs to, the same on every replica. 1 to 4096
   * bytes that no two clients share.
   */
  public byte[] idHint(String of) {
    return idHintOf(of);
  }

  /** The same of bytes. */
  public byte[] idHint(byte[] of) {
    return idHintOf(of);
  }

  private byte[] idHintOf(Object of) {
    Core core = pool.borrow();
    try {
      int hint = core.reserve(16);
      int at = core.put(of);
      int end = core.used;
      core.send();
      core.check(
          Functions.affinityIdHint(
              core, address(), core.address(at), end - at, core.address(hint)));
      return core.bytesAt(hint, 16);
    } finally {
      pool.release(core);
    }
  }

  /** Classifies a request by the configured table. */
  public Classification classify(String method, String target) {
    Core core = pool.borrow();
    try {
      int answer = core.reserve(3);
      int methodAt = core.put((Object) method);
      int methodEnd = core.used;
      int targetAt = core.put((Object) target);
      int targetEnd = core.used;
      core.send();
      core.check(
          Functions.affinityClassify(
              core,
              address(),
              core.address(methodAt),
              methodEnd - methodAt,
              core.address(targetAt),
              targetEnd - targetAt,
              core.address(answer),
              core.address(answer + 1),
              core.address(answer + 2)));
      return Tokenpin.classification(core, answer);
    } finally {
      pool.release(core);
    }
  }

  /** The configuration's fingerprint. Replicas that show different ones do not agree. */
  public long fingerprint() {
    Core core = pool.borrow();
    try {
      int at = core.reserve(8);
      core.send();
      core.check(Functions.affinityFingerprint(core, address(), core.address(at)));
      return core.longAt(at);
    } finally {
      pool.release(core);
    }
  }

  /**
   * The fingerprint of the weights, and of the states that count at {@code now}, in unix seconds.
   */
  public long liveFingerprint(long now) {
    Core core = pool.borrow();
    try {
      int at = core.reserve(8);
      core.send();
      core.check(Functions.affinityLiveFingerprint(core, address(), now, core.address(at)));
      return core.longAt(at);
    } finally {
      pool.release(core);
    }
  }

  /**
   * The owner of a request's ids. It is the request's consumer if ids belong to consumers and the
   * consumer is usable, and otherwise empty.
   */
  public byte[] idOwner(Request request) {
    Core core = pool.borrow();
    try {
      int owner = core.reserve(Layout.BYTES_SIZE);
      int at = request.put(core);
      core.send();
      core.check(Functions.affinityIdOwner(core, address(), core.address(at), core.address(owner)));
      return text(core, owner);
    } finally {
      pool.release(core);
    }
  }

  /** The name of a key of the table of ids; null if no key has this number. */
  public @Nullable String idKey(int number) {
    if (number < 0 || number > 255) {
      return null;
    }
    Core core = pool.borrow();
    try {
      int name = core.reserve(Layout.BYTES_SIZE);
      core.send();
      int status = Functions.affinityIdKey(core, address(), number, core.address(name));
      if (status == Status.BAD_ENUM.number()) {
        return null;
      }
      core.check(status);
      return new String(text(core, name), java.nio.charset.StandardCharsets.UTF_8);
    } finally {
      pool.release(core);
    }
  }

  /** Reads a structure in the frame that may point anywhere into the library's memory. */
  private static byte[] text(Core core, int bytes) {
    int length = (int) core.wordAt(bytes + Layout.BYTES_AT_LEN);
    if (length == 0) {
      return new byte[0];
    }
    return core.anywhere(core.wordAt(bytes + Layout.BYTES_AT_PTR), length);
  }

  /** Begins a request: opens the ids of its target. Then open its body, and then decide. */
  public IdOpener opener(String target, Ids ids) {
    return opener(target, IdOptions.of(ids));
  }

  /** The same with all options. */
  public IdOpener opener(String target, IdOptions options) {
    return new IdOpener(this, options, target);
  }

  /**
   * Begins the response to a request.
   *
   * @param slot the account that answered
   * @param opener that of the request
   * @param events whether the response is labelled as server-sent events
   */
  public IdSealer sealer(int slot, IdOpener opener, boolean events) {
    return new IdSealer(this, opener.options, opener, slot, events);
  }

  /** The same for a request that was not opened. */
  public IdSealer sealer(int slot, IdOptions options, boolean events) {
    return new IdSealer(this, options, null, slot, events);
  }

  /**
   * Wipes the keys. Calls that run come to their end; later ones throw an {@link
   * IllegalStateException}.
   */
  @Override
  public void close() {
    cleanable.clean();
  }
}
