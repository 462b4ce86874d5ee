package io.github.tokenpin;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The context in which ids are opened and sealed.
 *
 * @param ids the ids that are read, from {@link Affinity#classify}
 * @param mode replaces the configured mode; null for the configured one
 * @param scope as in the request: empty for the configured one
 * @param owner the owner that {@link Affinity#idOwner} returns for the request
 * @param upstream the upstream's authority; absolute URLs that lead there are rewritten where the
 *     table has their key. Empty leaves them
 * @param origin scheme and authority of the client's request, such as {@code
 *     https://gateway.example}
 */
public record IdOptions(
    Ids ids, @Nullable Mode mode, byte[] scope, byte[] owner, String upstream, String origin) {
  public IdOptions {
    Objects.requireNonNull(ids);
    scope = scope.clone();
    owner = owner.clone();
    Objects.requireNonNull(upstream);
    Objects.requireNonNull(origin);
  }

  /** In the configured mode and scope, without an owner. */
  public static IdOptions of(Ids ids) {
    return new IdOptions(ids, null, new byte[0], new byte[0], "", "");
  }

  public IdOptions withMode(@Nullable Mode mode) {
    return new IdOptions(ids, mode, scope, owner, upstream, origin);
  }

  public IdOptions withScope(byte[] scope) {
    return new IdOptions(ids, mode, scope, owner, upstream, origin);
  }

  public IdOptions withOwner(byte[] owner) {
    return new IdOptions(ids, mode, scope, owner, upstream, origin);
  }

  public IdOptions withOrigin(String upstream, String origin) {
    return new IdOptions(ids, mode, scope, owner, upstream, origin);
  }

  /** Lays it out. */
  int put(Core core) {
    int at = core.reserve(Layout.ID_USE_SIZE);
    core.bytes(at + Layout.ID_USE_AT_SCOPE, scope);
    core.bytes(at + Layout.ID_USE_AT_OWNER, owner);
    core.bytes(at + Layout.ID_USE_AT_UPSTREAM, upstream);
    core.bytes(at + Layout.ID_USE_AT_ORIGIN, origin);
    core.putByte(at + Layout.ID_USE_AT_IDS, ids.number());
    if (mode != null) {
      core.putByte(at + Layout.ID_USE_AT_HAS_MODE, 1);
      core.putByte(at + Layout.ID_USE_AT_MODE, mode.number());
    }
    return at;
  }
}
