package io.github.tokenpin;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Builds an affinity. Slots, placement key and cookie keys have to be set. docs/spec/decision.md
 * explains all settings, and has the defaults.
 */
public final class AffinityBuilder {
  private final List<Slot> slots = new ArrayList<>();
  private final List<CookieKey> cookieKeys = new ArrayList<>();
  private final List<CookieKey> idKeys = new ArrayList<>();
  private final List<Rule> rules = new ArrayList<>();
  private final List<IdField> idFields = new ArrayList<>();
  private final List<String> idPrefixes = new ArrayList<>();
  private final List<String> idCollections = new ArrayList<>();
  private byte @Nullable [] placementKey;
  private Object scope = "";
  private String cookieName = "";
  private CookieAttributes attributes = CookieAttributes.DEFAULT;
  private @Nullable Strategy strategy;
  private @Nullable Policy policyExisting;
  private @Nullable Policy policyNew;
  private @Nullable Mode idMode;
  private @Nullable IdOwner idOwner;
  private @Nullable ForeignSeals foreignSeals;
  private long maxAge = -1;
  private long skew = -1;
  private long maxLife = -1;
  private long maxIdle = -1;
  private int successFirst = -1;
  private int successLast = -1;
  private boolean combineKeys;
  private boolean rejectBadKeys;
  private boolean keyedCookies;
  private boolean mintSingle;
  private boolean promptCache;
  private boolean replaceRules;
  private boolean encryptedContent = true;

  AffinityBuilder() {}

  /** The next slot. */
  public AffinityBuilder slot(Slot slot) {
    slots.add(Objects.requireNonNull(slot));
    return this;
  }

  /** The next slot: the account of this name, up, with the full weight. */
  public AffinityBuilder slot(String identity) {
    return slot(Slot.of(identity));
  }

  /** The next slot: room to grow. */
  public AffinityBuilder vacant() {
    return slot(Slot.vacant());
  }

  /** Sixteen random bytes, the same on all replicas, that decide the mapping of keys. */
  public AffinityBuilder placementKey(byte[] key) {
    placementKey = CookieKey.sixteen(key, "the placement key").clone();
    return this;
  }

  /** A key of cookies. Exactly one of all signs. */
  public AffinityBuilder cookieKey(CookieKey key) {
    cookieKeys.add(Objects.requireNonNull(key));
    return this;
  }

  /** A key that seals ids. Without any, the cookie keys seal. */
  public AffinityBuilder idKey(CookieKey key) {
    idKeys.add(Objects.requireNonNull(key));
    return this;
  }

  /** The strategy that selects a slot. Default jump. */
  public AffinityBuilder strategy(Strategy strategy) {
    this.strategy = strategy;
    return this;
  }

  /** The default scope. */
  public AffinityBuilder scope(String scope) {
    this.scope = Objects.requireNonNull(scope);
    return this;
  }

  /** The default scope. */
  public AffinityBuilder scope(byte[] scope) {
    this.scope = scope.clone();
    return this;
  }

  /** The cookie's name; empty for the default name of the request's scope. */
  public AffinityBuilder cookieName(String name) {
    cookieName = Objects.requireNonNull(name);
    return this;
  }

  /** The cookie's attributes. */
  public AffinityBuilder attributes(CookieAttributes attributes) {
    this.attributes = Objects.requireNonNull(attributes);
    return this;
  }

  /**
   * {@code Max-Age} in seconds; 0 for a session cookie. Default: as long as the cookie can be
   * valid.
   */
  public AffinityBuilder maxAge(long seconds) {
    maxAge = checked(seconds);
    return this;
  }

  /** Tolerance for clocks that run ahead, in seconds. Default 300. */
  public AffinityBuilder skew(long seconds) {
    skew = checked(seconds);
    return this;
  }

  /**
   * The longest life of a cookie since its first issue, in seconds; 0 for no limit. Default 30
   * days.
   */
  public AffinityBuilder maxLife(long seconds) {
    maxLife = checked(seconds);
    return this;
  }

  /** The longest time between refreshes of a cookie, in seconds. Default 0, for no limit. */
  public AffinityBuilder maxIdle(long seconds) {
    maxIdle = checked(seconds);
    return this;
  }

  private static long checked(long seconds) {
    CookieLimits.seconds(seconds);
    return seconds;
  }

  /**
   * For requests that name existing state, if their account is down or was tried. Default fail
   * fast.
   */
  public AffinityBuilder policyExisting(Policy policy) {
    policyExisting = policy;
    return this;
  }

  /** For all others. Default fallback and update. */
  public AffinityBuilder policyNew(Policy policy) {
    policyNew = policy;
    return this;
  }

  /** Use consumer and session key together if a request has both. Default off. */
  public AffinityBuilder combineKeys(boolean on) {
    combineKeys = on;
    return this;
  }

  /** Reject a request whose key cannot be used. Default off: the next source is tried. */
  public AffinityBuilder rejectBadKeys(boolean on) {
    rejectBadKeys = on;
    return this;
  }

  /** Give cookies to sessions that have a key. Default off. */
  public AffinityBuilder keyedCookies(boolean on) {
    keyedCookies = on;
    return this;
  }

  /** Mint cookies also if only one slot holds an account. Default off. */
  public AffinityBuilder mintSingle(boolean on) {
    mintSingle = on;
    return this;
  }

  /** The response statuses on which a cookie is set. Default 200 to 299. */
  public AffinityBuilder success(int first, int last) {
    successFirst = status(first);
    successLast = status(last);
    return this;
  }

  static int status(int status) {
    if (status < 0 || status > 0xffff) {
      throw new IllegalArgumentException("a response's status is 0 to 65535, and not " + status);
    }
    return status;
  }

  /** A rule of the classification table, in front of the default ones. */
  public AffinityBuilder rule(Rule rule) {
    rules.add(Objects.requireNonNull(rule));
    return this;
  }

  /** Leave the default rules out. Default off. */
  public AffinityBuilder replaceRules(boolean on) {
    replaceRules = on;
    return this;
  }

  /** Give affinity to the prompt-cache group too. Default off. */
  public AffinityBuilder promptCache(boolean on) {
    promptCache = on;
    return this;
  }

  /** The treatment of ids. Default off. */
  public AffinityBuilder idMode(Mode mode) {
    idMode = mode;
    return this;
  }

  /** The owner of a sealed id. Default none. */
  public AffinityBuilder idOwner(IdOwner owner) {
    idOwner = owner;
    return this;
  }

  /** The treatment of another gateway's ids. Default: by the mode. */
  public AffinityBuilder foreignSeals(ForeignSeals seals) {
    foreignSeals = seals;
    return this;
  }

  /** Mark encrypted content. Default on. */
  public AffinityBuilder encryptedContent(boolean on) {
    encryptedContent = on;
    return this;
  }

  /** A key that is read for ids, in addition to those of the table; at most 32. */
  public AffinityBuilder idField(IdField field) {
    idFields.add(Objects.requireNonNull(field));
    return this;
  }

  /** A prefix of ids that are sealed, in addition to those of the table; at most 32. */
  public AffinityBuilder idPrefix(String prefix) {
    idPrefixes.add(Objects.requireNonNull(prefix));
    return this;
  }

  /** A segment of a path that an id follows, in addition to those of the table; at most 32. */
  public AffinityBuilder idCollection(String segment) {
    idCollections.add(Objects.requireNonNull(segment));
    return this;
  }

  /**
   * Builds it.
   *
   * @throws ConfigException if a setting is refused
   */
  public Affinity build() {
    Pool pool;
    Core first = Pool.SHARED.borrow();
    try {
      int size = first.reserve(8);
      int error = first.reserve(Layout.CONFIG_ERROR_SIZE);
      int config = put(first);
      int status =
          Functions.affinitySize(
              first, first.address(config), first.address(size), first.address(error));
      long needed;
      try {
        ConfigException.check(first, status, error);
        needed = first.wordAt(size);
      } finally {
        first.wipe(0, first.used);
      }
      pool = new Pool(Library.BACKEND.block(needed));
      return new Affinity(pool, init(pool, needed), slots.size());
    } finally {
      Pool.SHARED.release(first);
    }
  }

  /** The offset of the affinity in its block. */
  private long init(Pool pool, long size) {
    boolean done = false;
    Core core = pool.borrow();
    Block block = Objects.requireNonNull(pool.block);
    try {
      synchronized (block) {
        int handle = core.reserve(8);
        int error = core.reserve(Layout.CONFIG_ERROR_SIZE);
        int config = put(core);
        int status =
            Functions.affinityInit(
                core,
                block.address(),
                size,
                core.address(config),
                core.address(handle),
                core.address(error));
        try {
          ConfigException.check(core, status, error);
          core.publish();
          done = true;
          return core.wordAt(handle) - block.address();
        } finally {
          core.wipe(0, core.used);
        }
      }
    } finally {
      pool.release(core);
      if (!done) {
        pool.close();
      }
    }
  }

  /** Lays it out and sends it. Where the configuration stands. */
  private int put(Core core) {
    int at = core.reserve(Layout.CONFIG_SIZE);
    core.send();
    core.check(Functions.configInit(core, core.address(at), Layout.CONFIG_SIZE));
    core.pull(at, Layout.CONFIG_SIZE);

    core.point(at + Layout.CONFIG_AT_COOKIE_KEYS, CookieKey.put(core, cookieKeys));
    core.putWord(at + Layout.CONFIG_AT_COOKIE_KEY_COUNT, cookieKeys.size());
    int slotsAt = core.reserve(slots.size(), Layout.SLOT_CONFIG_SIZE);
    for (int i = 0; i < slots.size(); i++) {
      int one = slotsAt + i * Layout.SLOT_CONFIG_SIZE;
      core.bytes(one + Layout.SLOT_CONFIG_AT_IDENTITY, slots.get(i).identity);
      slots.get(i).status.put(core, one + Layout.SLOT_CONFIG_AT_STATUS);
    }
    core.point(at + Layout.CONFIG_AT_SLOTS, slotsAt);
    core.putWord(at + Layout.CONFIG_AT_SLOT_COUNT, slots.size());
    core.bytes(at + Layout.CONFIG_AT_SCOPE, scope);
    core.bytes(at + Layout.CONFIG_AT_COOKIE_NAME, cookieName);
    attributes.put(core, at + Layout.CONFIG_AT_ATTRIBUTES);
    core.point(at + Layout.CONFIG_AT_RULES, Rule.put(core, rules));
    core.putWord(at + Layout.CONFIG_AT_RULE_COUNT, rules.size());
    core.point(at + Layout.CONFIG_AT_ID_KEYS, CookieKey.put(core, idKeys));
    core.putWord(at + Layout.CONFIG_AT_ID_KEY_COUNT, idKeys.size());
    int fieldsAt = core.reserve(idFields.size(), Layout.ID_FIELD_SIZE);
    for (int i = 0; i < idFields.size(); i++) {
      int one = fieldsAt + i * Layout.ID_FIELD_SIZE;
      core.bytes(one + Layout.ID_FIELD_AT_NAME, idFields.get(i).name());
      core.putByte(one + Layout.ID_FIELD_AT_KIND, idFields.get(i).kind().number());
    }
    core.point(at + Layout.CONFIG_AT_ID_FIELDS, fieldsAt);
    core.putWord(at + Layout.CONFIG_AT_ID_FIELD_COUNT, idFields.size());
    words(
        core, idPrefixes, at + Layout.CONFIG_AT_ID_PREFIXES, at + Layout.CONFIG_AT_ID_PREFIX_COUNT);
    words(
        core,
        idCollections,
        at + Layout.CONFIG_AT_ID_COLLECTIONS,
        at + Layout.CONFIG_AT_ID_COLLECTION_COUNT);

    seconds(core, at + Layout.CONFIG_AT_MAX_AGE, maxAge);
    seconds(core, at + Layout.CONFIG_AT_SKEW, skew);
    seconds(core, at + Layout.CONFIG_AT_MAX_LIFE, maxLife);
    seconds(core, at + Layout.CONFIG_AT_MAX_IDLE, maxIdle);
    if (successFirst >= 0) {
      core.putShort(at + Layout.CONFIG_AT_SUCCESS_FIRST, successFirst);
      core.putShort(at + Layout.CONFIG_AT_SUCCESS_LAST, successLast);
    }
    if (placementKey != null) {
      System.arraycopy(placementKey, 0, core.frame, at + Layout.CONFIG_AT_PLACEMENT_KEY, 16);
    }
    if (strategy != null) {
      core.putByte(at + Layout.CONFIG_AT_STRATEGY, strategy.number());
    }
    if (policyExisting != null) {
      core.putByte(at + Layout.CONFIG_AT_POLICY_EXISTING, policyExisting.number());
    }
    if (policyNew != null) {
      core.putByte(at + Layout.CONFIG_AT_POLICY_NEW, policyNew.number());
    }
    if (idMode != null) {
      core.putByte(at + Layout.CONFIG_AT_ID_MODE, idMode.number());
    }
    if (idOwner != null) {
      core.putByte(at + Layout.CONFIG_AT_ID_OWNER, idOwner.number());
    }
    if (foreignSeals != null) {
      core.putByte(at + Layout.CONFIG_AT_FOREIGN_SEALS, foreignSeals.number());
    }
    core.putByte(at + Layout.CONFIG_AT_COMBINE_KEYS, combineKeys ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_REJECT_BAD_KEYS, rejectBadKeys ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_KEYED_COOKIES, keyedCookies ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_MINT_SINGLE, mintSingle ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_PROMPT_CACHE, promptCache ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_REPLACE_RULES, replaceRules ? 1 : 0);
    core.putByte(at + Layout.CONFIG_AT_ENCRYPTED_CONTENT, encryptedContent ? 1 : 0);
    core.send();
    return at;
  }

  private static void words(Core core, List<String> words, int where, int count) {
    int at = core.reserve(words.size(), Layout.BYTES_SIZE);
    for (int i = 0; i < words.size(); i++) {
      core.bytes(at + i * Layout.BYTES_SIZE, words.get(i));
    }
    core.point(where, at);
    core.putWord(count, words.size());
  }

  private static void seconds(Core core, int at, long seconds) {
    if (seconds >= 0) {
      core.putInt(at, (int) seconds);
    }
  }
}
