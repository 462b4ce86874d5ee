package io.github.tokenpin;

import java.util.ArrayList;
import java.util.List;

/** Single steps, without an affinity. May be called from any thread. */
public final class Tokenpin {
  private Tokenpin() {}

  /**
   * True if the native library does the work, and not WebAssembly that was compiled for this
   * virtual machine.
   */
  public static boolean isNative() {
    return Library.WIDE;
  }

  static long now() {
    return System.currentTimeMillis() / 1000;
  }

  /** The jump consistent hash: the bucket, 0 to {@code buckets} - 1, of a key. */
  public static int jump(long key, int buckets) {
    Core core = Pool.SHARED.borrow();
    try {
      int bucket = core.reserve(4);
      core.send();
      core.check(Functions.jump(core, key, buckets, core.address(bucket)));
      return core.intAt(bucket);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** The identity hash of the account of this name: unsigned. */
  public static long identityHash(String identity) {
    return identityHashOf(identity);
  }

  /** The same of bytes. */
  public static long identityHash(byte[] identity) {
    return identityHashOf(identity);
  }

  private static long identityHashOf(Object identity) {
    Core core = Pool.SHARED.borrow();
    try {
      int hash = core.reserve(8);
      int at = core.put(identity);
      int end = core.used;
      core.send();
      core.check(Functions.identityHash(core, core.address(at), end - at, core.address(hash)));
      return core.longAt(hash);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** The hash of an affinity key, from which selection starts: unsigned. */
  public static long keyHash(byte[] placementKey, byte[] scope, Key key) {
    Core core = Pool.SHARED.borrow();
    try {
      int hash = core.reserve(8);
      int placement = core.put(CookieKey.sixteen(placementKey, "the placement key"));
      int scopeAt = core.put(scope);
      int keyAt = key.put(core);
      core.send();
      int status =
          Functions.keyHash(
              core,
              core.address(placement),
              core.address(scopeAt),
              scope.length,
              core.address(keyAt),
              core.address(hash));
      core.wipe(placement, 16);
      core.check(status);
      return core.longAt(hash);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /**
   * The default name of a scope's cookie: {@code __Host-tokenpin}, with a suffix unless the scope
   * is empty.
   */
  public static String defaultCookieName(byte[] scope) {
    Core core = Pool.SHARED.borrow();
    try {
      int length = core.reserve(8);
      int buffer = core.reserve(Limits.MAX_COOKIE_NAME);
      int at = core.put(scope);
      core.send();
      core.check(
          Functions.cookieDefaultName(
              core,
              core.address(at),
              scope.length,
              core.address(buffer),
              Limits.MAX_COOKIE_NAME,
              core.address(length)));
      return core.textAt(buffer, (int) core.wordAt(length));
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** The values of the cookies of a name in one {@code Cookie} field. */
  public static List<String> cookieValues(String field, String name) {
    Core core = Pool.SHARED.borrow();
    try {
      int offset = core.reserve(8);
      int value = core.reserve(Layout.BYTES_SIZE);
      int at = core.put((Object) field);
      int length = core.used - at;
      int nameAt = core.put((Object) name);
      int nameLength = core.used - nameAt;
      core.send();
      List<String> found = new ArrayList<>();
      while (true) {
        int status =
            Functions.cookieNext(
                core,
                core.address(at),
                length,
                core.address(nameAt),
                nameLength,
                core.address(offset),
                core.address(value));
        if (status == Status.END.number()) {
          return found;
        }
        core.check(status);
        int from = (int) (core.wordAt(value + Layout.BYTES_AT_PTR) - core.base());
        found.add(core.textAt(from, (int) core.wordAt(value + Layout.BYTES_AT_LEN)));
        core.pull(offset, 8);
      }
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /**
   * One {@code Cookie} field without the cookies of a name, the other pairs as they are. An empty
   * one is to be dropped.
   */
  public static String cookieStrip(String field, String name) {
    Core core = Pool.SHARED.borrow();
    try {
      int length = core.reserve(8);
      int at = core.put((Object) field);
      int fieldLength = core.used - at;
      int nameAt = core.put((Object) name);
      int nameLength = core.used - nameAt;
      int buffer = core.room(fieldLength);
      core.send();
      core.check(
          Functions.cookieStrip(
              core,
              core.address(at),
              fieldLength,
              core.address(nameAt),
              nameLength,
              core.address(buffer),
              fieldLength,
              core.address(length)));
      int left = (int) core.wordAt(length);
      return left == fieldLength ? field : core.textAt(buffer, left);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /**
   * The value of a {@code Set-Cookie} field.
   *
   * @param maxAge in seconds; 0 for a session cookie
   */
  public static String setCookie(
      String name, String value, CookieAttributes attributes, long maxAge) {
    int seconds = CookieLimits.seconds(maxAge);
    Core core = Pool.SHARED.borrow();
    try {
      for (int capacity = Limits.MAX_SET_COOKIE; ; ) {
        core.begin();
        int length = core.reserve(8);
        int at = core.reserve(Layout.ATTRIBUTES_SIZE);
        attributes.put(core, at);
        int nameAt = core.put((Object) name);
        int nameLength = core.used - nameAt;
        int valueAt = core.put((Object) value);
        int valueLength = core.used - valueAt;
        int buffer = core.room(capacity);
        core.send();
        int status =
            Functions.setCookieWrite(
                core,
                core.address(nameAt),
                nameLength,
                core.address(valueAt),
                valueLength,
                core.address(at),
                seconds,
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
      Pool.SHARED.release(core);
    }
  }

  /**
   * True if a {@code Set-Cookie} field sets a cookie of this name. Drop such fields from an
   * upstream's response.
   */
  public static boolean setCookieMatches(String field, String name) {
    Core core = Pool.SHARED.borrow();
    try {
      int matches = core.reserve(1);
      int at = core.put((Object) field);
      int length = core.used - at;
      int nameAt = core.put((Object) name);
      int nameLength = core.used - nameAt;
      core.send();
      core.check(
          Functions.setCookieMatches(
              core,
              core.address(at),
              length,
              core.address(nameAt),
              nameLength,
              core.address(matches)));
      return core.byteAt(matches) == 1;
    } finally {
      Pool.SHARED.release(core);
    }
  }

  /** Classifies a request by rules, and behind them the default ones. */
  public static Classification classify(
      String method, String target, List<Rule> rules, boolean replaceRules, boolean promptCache) {
    Core core = Pool.SHARED.borrow();
    try {
      int answer = core.reserve(3);
      int rulesAt = Rule.put(core, rules);
      int methodAt = core.put((Object) method);
      int methodLength = core.used - methodAt;
      int targetAt = core.put((Object) target);
      int targetLength = core.used - targetAt;
      core.send();
      core.check(
          Functions.classify(
              core,
              core.address(rulesAt),
              rules.size(),
              replaceRules ? 1 : 0,
              promptCache ? 1 : 0,
              core.address(methodAt),
              methodLength,
              core.address(targetAt),
              targetLength,
              core.address(answer),
              core.address(answer + 1),
              core.address(answer + 2)));
      return classification(core, answer);
    } finally {
      Pool.SHARED.release(core);
    }
  }

  static Classification classification(Core core, int answer) {
    return new Classification(
        Group.of(core.byteAt(answer)),
        core.byteAt(answer + 1) == 1,
        Ids.of(core.byteAt(answer + 2)));
  }
}
