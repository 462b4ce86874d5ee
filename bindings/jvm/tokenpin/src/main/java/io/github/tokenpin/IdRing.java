package io.github.tokenpin;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** The keys that seal and open single ids. May be used by any number of threads concurrently. */
public final class IdRing implements AutoCloseable {
  /**
   * The result of opening a text.
   *
   * @param text the id as the provider made it, or the content in front of its mark; null except
   *     for {@code SEALED}
   * @param pin the identity hash of the account; 0 except for {@code SEALED}
   */
  public record Opened(IdVerdict verdict, @Nullable String text, long pin) {
    /** Without the pin, which would confirm a guessed account name. */
    @Override
    public String toString() {
      return "Opened[verdict=" + verdict + ", text=" + text + "]";
    }
  }

  private final Ring ring;

  private IdRing(byte[] bytes) {
    ring = new Ring(bytes);
  }

  /** 1 to 8 keys, exactly one of which signs. */
  public static IdRing of(List<CookieKey> keys) {
    return of(keys, null);
  }

  /** The same, and no secret may equal the placement key. */
  public static IdRing of(List<CookieKey> keys, byte @Nullable [] placementKey) {
    return new IdRing(
        CookieKey.ring(Functions::idRingInit, Layout.ID_RING_SIZE, keys, placementKey));
  }

  /** The sealed form of the id of an object in the account with the identity hash {@code pin}. */
  public String seal(String id, long pin, byte[] scope, byte[] owner) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int length = core.reserve(8);
      int buffer = core.reserve(Limits.MAX_SEALED_ID);
      int scopeAt = core.put(scope);
      int ownerAt = core.put(owner);
      int idAt = core.put((Object) id);
      int idLength = core.used - idAt;
      core.send();
      int status =
          Functions.idSeal(
              core,
              core.address(at),
              core.address(scopeAt),
              scope.length,
              core.address(ownerAt),
              owner.length,
              pin,
              core.address(idAt),
              idLength,
              core.address(buffer),
              Limits.MAX_SEALED_ID,
              core.address(length));
      core.wipe(at, Layout.ID_RING_SIZE);
      core.check(status);
      return core.textAt(buffer, (int) core.wordAt(length));
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** Opens a text from a client, sealed or not. */
  public Opened open(String text, byte[] scope, byte[] owner) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int length = core.reserve(8);
      int pin = core.reserve(8);
      int verdict = core.reserve(2);
      int buffer = core.reserve(Limits.MAX_SEALED_ID);
      int scopeAt = core.put(scope);
      int ownerAt = core.put(owner);
      int textAt = core.put((Object) text);
      int textLength = core.used - textAt;
      core.send();
      int status =
          Functions.idOpen(
              core,
              core.address(at),
              core.address(scopeAt),
              scope.length,
              core.address(ownerAt),
              owner.length,
              core.address(textAt),
              textLength,
              core.address(buffer),
              Limits.MAX_SEALED_ID,
              core.address(length),
              core.address(verdict),
              core.address(pin),
              core.address(verdict + 1));
      core.wipe(at, Layout.ID_RING_SIZE);
      core.check(status);
      IdVerdict found = IdVerdict.of(core.byteAt(verdict));
      return found == IdVerdict.SEALED
          ? new Opened(found, core.textAt(buffer, (int) core.wordAt(length)), core.longAt(pin))
          : new Opened(found, null, 0);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /**
   * The mark that goes behind encrypted content of the account with the identity hash {@code pin}.
   */
  public String mark(String content, long pin, byte[] scope, byte[] owner) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int mark = core.reserve(Limits.ID_MARK_LEN);
      int scopeAt = core.put(scope);
      int ownerAt = core.put(owner);
      int contentAt = core.put((Object) content);
      int contentLength = core.used - contentAt;
      core.send();
      int status =
          Functions.idMark(
              core,
              core.address(at),
              core.address(scopeAt),
              scope.length,
              core.address(ownerAt),
              owner.length,
              pin,
              core.address(contentAt),
              contentLength,
              core.address(mark));
      core.wipe(at, Layout.ID_RING_SIZE);
      core.check(status);
      return core.textAt(mark, Limits.ID_MARK_LEN);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** Reads the mark at the end of encrypted content. */
  public Opened openMark(String text, byte[] scope, byte[] owner) {
    Core core = Pool.SHARED.borrow();
    try {
      int at = ring.put(core);
      int length = core.reserve(8);
      int pin = core.reserve(8);
      int verdict = core.reserve(1);
      int scopeAt = core.put(scope);
      int ownerAt = core.put(owner);
      int textAt = core.put((Object) text);
      int textLength = core.used - textAt;
      core.send();
      int status =
          Functions.idOpenMark(
              core,
              core.address(at),
              core.address(scopeAt),
              scope.length,
              core.address(ownerAt),
              owner.length,
              core.address(textAt),
              textLength,
              core.address(length),
              core.address(verdict),
              core.address(pin));
      core.wipe(at, Layout.ID_RING_SIZE);
      core.check(status);
      IdVerdict found = IdVerdict.of(core.byteAt(verdict));
      return found == IdVerdict.SEALED
          ? new Opened(found, core.textAt(textAt, (int) core.wordAt(length)), core.longAt(pin))
          : new Opened(found, null, 0);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** Wipes the keys. Calls from then on throw an {@link IllegalStateException}. */
  @Override
  public void close() {
    ring.close();
  }
}
