package io.github.tokenpin.spring;

import io.github.tokenpin.Affinity;
import io.github.tokenpin.AffinityBuilder;
import io.github.tokenpin.ConfigException;
import io.github.tokenpin.CookieAttributes;
import io.github.tokenpin.CookieKey;
import io.github.tokenpin.Group;
import io.github.tokenpin.IdField;
import io.github.tokenpin.Ids;
import io.github.tokenpin.Rule;
import io.github.tokenpin.Slot;
import io.github.tokenpin.SlotStatus;
import io.github.tokenpin.State;
import java.time.DateTimeException;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;

/** The accounts of a provider: the affinity, their credentials, and their states over time. */
public final class Accounts {
  private static final Pattern NAME = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+");
  private static final Pattern VALUE = Pattern.compile("[ -~]*[!-~]");
  private static final Pattern DECIMAL = Pattern.compile("([0-9]{1,15})(?:\\.([0-9]*))?");

  // A client can bring about a 401, and would take one account after another down from all others.
  private static final List<TokenpinProperties.Cooldown> COOLDOWNS =
      List.of(new TokenpinProperties.Cooldown(List.of(401, 429), State.DRAINING, 30, true, 3600));

  final TokenpinProperties properties;
  private final Affinity affinity;
  private final List<TokenpinProperties.Cooldown> cooldowns;
  private final List<List<TokenpinProperties.Credential>> credentials = new ArrayList<>();
  private final Set<String> names = new HashSet<>();
  private final AtomicLong held = new AtomicLong();

  /** The status that a cooldown gave a slot, until it is changed otherwise. */
  private final @Nullable SlotStatus[] cooled;

  Accounts(TokenpinProperties properties) {
    this.properties = properties;
    this.cooldowns = Objects.requireNonNullElse(properties.cooldowns(), COOLDOWNS);
    check();
    int[] slots = slots();
    try {
      this.affinity = build(slots);
    } catch (ConfigException e) {
      throw refused(path(e, slots), e.status() + ": " + e.status().text());
    }
    this.cooled = new SlotStatus[affinity.capacity()];
  }

  /** The affinity. To change a slot, use {@link #setSlot}. */
  public Affinity affinity() {
    return affinity;
  }

  /** Changes a slot's state, weight and until. Until it is up again, responses do not change it. */
  public void setSlot(int slot, SlotStatus status) {
    synchronized (cooled) {
      affinity.setSlot(slot, status);
      cooled[slot] = null;
    }
  }

  // ---- Configuration

  private static IllegalArgumentException refused(String where, String why) {
    return new IllegalArgumentException("tokenpin." + where + ": " + why);
  }

  private static void need(boolean good, String where, String why) {
    if (!good) {
      throw refused(where, why);
    }
  }

  private static <T> T there(@Nullable T value, String where) {
    if (value == null) {
      throw refused(where, "is missing");
    }
    return value;
  }

  private void check() {
    there(properties.placementKey(), "placement_key");
    there(properties.cookieKeys(), "cookie_keys");
    there(properties.tokens(), "tokens");
    TokenpinProperties.Source consumer = properties.consumer();
    named(consumer, "consumer");
    named(properties.tenant(), "tenant");
    for (int i = 0; i < properties.session().size(); i++) {
      named(properties.session().get(i), "session[" + i + "]");
    }
    if (properties.existing() != null) {
      there(properties.existing().header(), "existing.header");
    }
    need(
        consumer == null || consumer.trusted(),
        "consumer.trusted",
        "is true only for a header that clients cannot set, and nothing else is taken");
    String carrier = properties.carrierHeader();
    if (carrier != null) {
      header(carrier, "carrier_header");
      need(
          !Credentials.areOfClient(carrier),
          "carrier_header",
          "is removed as a client's credential");
    }
    need(properties.success().size() == 2, "success", "is not a first and a last status");
    need(properties.maxBody() > 0, "max_body", "is less than 1");
    need(properties.maxHeldBodies() > 0, "max_held_bodies", "is less than 1");
    for (int i = 0; i < cooldowns.size(); i++) {
      TokenpinProperties.Cooldown it = cooldowns.get(i);
      String where = "cooldowns[" + i + "].";
      boolean failures = it.status().stream().allMatch(status -> status >= 400 && status <= 599);
      need(
          !it.status().isEmpty() && failures, where + "status", "is not one or more of 400 to 599");
      need(
          it.state() == State.DRAINING || it.state() == State.DOWN,
          where + "state",
          "is neither draining nor down");
      need(it.seconds() > 0, where + "seconds", "is less than 1");
      need(it.maxSeconds() > 0, where + "max_seconds", "is less than 1");
    }
  }

  private static void named(TokenpinProperties.@Nullable Source source, String where) {
    if (source != null) {
      there(source.header(), where + ".header");
    }
  }

  private static void header(String name, String where) {
    need(NAME.matcher(name).matches(), where, "is no name of a header");
    need(
        !Set.of(
                "connection",
                "content-length",
                "cookie",
                "host",
                "set-cookie",
                "te",
                "transfer-encoding",
                "upgrade")
            .contains(name.toLowerCase(Locale.ROOT)),
        where,
        "is a header that the gateway needs itself");
  }

  /** The slot of each token. */
  private int[] slots() {
    List<TokenpinProperties.Token> tokens = properties.tokens();
    need(!tokens.isEmpty(), "tokens", "holds at least one");
    int[] slots = new int[tokens.size()];
    Set<Integer> taken = new HashSet<>();
    for (int i = 0; i < slots.length; i++) {
      String where = "tokens[" + i + "].";
      TokenpinProperties.Token token = tokens.get(i);
      there(token.name(), where + "name");
      slots[i] = token.slot() == null ? i : token.slot();
      need(slots[i] >= 0 && slots[i] <= 65535, where + "slot", "is 0 to 65535");
      need(taken.add(slots[i]), where + "slot", "is taken by a token before it");
      need(token.state() != State.VACANT, where + "state", "is up, draining or down");
      for (int j = 0; j < token.headers().size(); j++) {
        TokenpinProperties.Credential credential = token.headers().get(j);
        String at = where + "headers[" + j + "].";
        header(there(credential.name(), at + "name"), at + "name");
        String value = credential.prefix() + there(credential.value(), at + "value");
        need(
            VALUE.matcher(value).matches(),
            at + "value",
            "is empty, or has a byte that no header may have");
      }
    }
    return slots;
  }

  private Affinity build(int[] slots) {
    AffinityBuilder builder =
        Affinity.builder()
            .placementKey(key(properties.placementKey(), "placement_key"))
            .scope(properties.scope());
    int capacity = properties.capacity() == null ? 0 : properties.capacity();
    for (int slot : slots) {
      need(properties.capacity() == null || slot < capacity, "capacity", "is above every slot");
      capacity = Math.max(capacity, slot + 1);
    }
    Slot[] all = new Slot[capacity];
    for (int i = 0; i < capacity; i++) {
      all[i] = Slot.vacant();
      credentials.add(List.of());
    }
    for (int i = 0; i < slots.length; i++) {
      TokenpinProperties.Token token = properties.tokens().get(i);
      all[slots[i]] =
          Slot.of(token.name(), new SlotStatus(token.state(), token.weight(), token.until()));
      credentials.set(slots[i], token.headers());
      token.headers().forEach(each -> names.add(Credentials.folded(each.name())));
    }
    for (Slot slot : all) {
      builder.slot(slot);
    }
    ring(properties.cookieKeys(), "cookie_keys").forEach(builder::cookieKey);
    ring(properties.idKeys(), "id_keys").forEach(builder::idKey);
    for (TokenpinProperties.Rule rule : properties.rules()) {
      Ids ids =
          rule.ids() != null ? rule.ids() : rule.group() == Group.STATEFUL ? Ids.BOTH : Ids.NONE;
      builder.rule(new Rule(rule.pattern(), rule.group(), ids));
    }
    properties
        .idFields()
        .forEach(field -> builder.idField(new IdField(field.name(), field.kind())));
    properties.idPrefixes().forEach(builder::idPrefix);
    properties.idCollections().forEach(builder::idCollection);
    TokenpinProperties.Cookie cookie = properties.cookie();
    if (cookie.maxAge() != null) {
      builder.maxAge(cookie.maxAge());
    }
    return builder
        .strategy(properties.strategy())
        .policyExisting(properties.policyExisting())
        .policyNew(properties.policyNew())
        .replaceRules(properties.replaceRules())
        .promptCache(properties.promptCache())
        .combineKeys(properties.combineKeys())
        .rejectBadKeys(properties.rejectBadKeys())
        .keyedCookies(properties.keyedCookies())
        .mintSingle(properties.mintSingle())
        .success(properties.success().get(0), properties.success().get(1))
        .cookieName(cookie.name())
        .attributes(
            new CookieAttributes(
                cookie.path(),
                cookie.domain(),
                cookie.secure(),
                cookie.httpOnly(),
                cookie.sameSite(),
                cookie.partitioned()))
        .skew(cookie.skew())
        .maxLife(cookie.maxLife())
        .maxIdle(cookie.maxIdle())
        .idMode(properties.sealedIds())
        .idOwner(properties.idOwner())
        .foreignSeals(properties.foreignSeals())
        .encryptedContent(properties.encryptedContent())
        .build();
  }

  private static List<CookieKey> ring(List<TokenpinProperties.RingKey> ring, String where) {
    List<CookieKey> keys = new ArrayList<>();
    for (int i = 0; i < ring.size(); i++) {
      TokenpinProperties.RingKey it = ring.get(i);
      String at = where + "[" + i + "].";
      need(it.id() >= 0 && it.id() <= 255, at + "id", "is 0 to 255");
      keys.add(
          CookieKey.of(
              it.id(),
              there(it.role(), at + "role"),
              key(there(it.key(), at + "key"), at + "key")));
    }
    return keys;
  }

  private static byte[] key(String digits, String where) {
    need(digits.matches("[0-9A-Fa-f]{32}"), where, "has 32 hexadecimal digits");
    return HexFormat.of().parseHex(digits);
  }

  private static String path(ConfigException refused, int[] slots) {
    long index = refused.index();
    return switch (refused.field()) {
      case SLOTS -> {
        for (int i = 0; i < slots.length; i++) {
          if (slots[i] == index) {
            yield "tokens[" + i + "]";
          }
        }
        yield "tokens";
      }
      case COOKIE_KEYS, ID_KEYS, RULES, ID_FIELDS, ID_PREFIXES, ID_COLLECTIONS ->
          refused.field() + "[" + index + "]";
      case COOKIE_NAME -> "cookie.name";
      case PATH, DOMAIN, MAX_AGE, SECURE, HTTP_ONLY, SAME_SITE, PARTITIONED ->
          "cookie." + refused.field();
      case ID_MODE -> "sealed_ids";
      default -> refused.field().toString();
    };
  }

  // ---- Requests and responses

  /** Makes the headers of a request the account's. */
  void apply(int slot, HttpHeaders headers) {
    headers.headerNames().stream()
        .filter(name -> names.contains(Credentials.folded(name)))
        .toList()
        .forEach(headers::remove);
    credentials.get(slot).forEach(each -> headers.set(each.name(), each.prefix() + each.value()));
  }

  /** Lets the account in a slot cool down if its response asks for that. */
  void cool(int slot, int status, HttpHeaders headers) {
    TokenpinProperties.Cooldown cooldown =
        cooldowns.stream().filter(each -> each.status().contains(status)).findFirst().orElse(null);
    if (cooldown == null) {
      return;
    }
    long now = System.currentTimeMillis() / 1000;
    Long asked = cooldown.retryAfter() ? retryAfter(headers, now) : null;
    long seconds =
        asked == null ? cooldown.seconds() : Math.min(Math.max(asked, 1), cooldown.maxSeconds());
    State state = cooldown.state();
    long until = now + seconds;
    synchronized (cooled) {
      SlotStatus live = affinity.getSlot(slot);
      if (live.state() != State.UP && !(live.until() != 0 && now >= live.until())) {
        boolean longer = live.state() == state && live.until() < until;
        boolean worse = live.state() == State.DRAINING && state == State.DOWN;
        if (!live.equals(cooled[slot]) || !(longer || worse)) {
          return;
        }
      }
      cooled[slot] = new SlotStatus(state, live.weight(), until);
      affinity.setSlot(slot, cooled[slot]);
    }
  }

  /** The whole seconds that cover what a response asks to wait. */
  private static @Nullable Long retryAfter(HttpHeaders headers, long now) {
    Long milliseconds = decimal(headers.getFirst("retry-after-ms"));
    if (milliseconds != null) {
      return (milliseconds + 999) / 1000;
    }
    String text = headers.getFirst(HttpHeaders.RETRY_AFTER);
    Long seconds = decimal(text);
    if (seconds != null || text == null) {
      return seconds;
    }
    try {
      return Math.max(
          0, ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME).toEpochSecond() - now);
    } catch (DateTimeException e) {
      return null;
    }
  }

  private static @Nullable Long decimal(@Nullable String text) {
    if (text == null) {
      return null;
    }
    var found = DECIMAL.matcher(text);
    if (!found.matches()) {
      return null;
    }
    String rest = found.group(2);
    return Long.parseLong(found.group(1)) + (rest == null || rest.matches("0*") ? 0 : 1);
  }

  /** Counts what is held of all bodies. False if it is too much, and then it is not counted. */
  boolean hold(int bytes) {
    if (held.addAndGet(bytes) <= properties.maxHeldBodies()) {
      return true;
    }
    held.addAndGet(-bytes);
    return false;
  }

  void letGo(long bytes) {
    held.addAndGet(-bytes);
  }
}
