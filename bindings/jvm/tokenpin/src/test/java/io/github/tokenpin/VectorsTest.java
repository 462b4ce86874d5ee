package io.github.tokenpin;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** All of tests/vectors, whose README says how the files read. */
class VectorsTest {
  static final Path VECTORS = Path.of(System.getProperty("tokenpin.vectors"));

  static JsonObject load(String name) throws IOException {
    return JsonParser.parseString(Files.readString(VECTORS.resolve(name))).getAsJsonObject();
  }

  static List<JsonObject> cases(JsonObject file, String section) {
    List<JsonObject> found = new ArrayList<>();
    file.getAsJsonArray(section).forEach(each -> found.add(each.getAsJsonObject()));
    assertFalse(found.isEmpty(), section);
    return found;
  }

  static byte[] hex(JsonObject from, String name) {
    return HexFormat.of().parseHex(from.get(name).getAsString());
  }

  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static long hash(JsonElement from) {
    return Long.parseUnsignedLong(from.getAsString(), 16);
  }

  static JsonElement hex64(long number) {
    return new JsonPrimitive(String.format("%016x", number));
  }

  static <T extends Enum<T>> T named(Class<T> type, JsonElement name) {
    for (T each : type.getEnumConstants()) {
      if (each.toString().equals(name.getAsString())) {
        return each;
      }
    }
    throw new AssertionError(type + " has no " + name);
  }

  static JsonElement number(OptionalInt slot) {
    return slot.isPresent() ? new JsonPrimitive(slot.getAsInt()) : JsonNull.INSTANCE;
  }

  static JsonElement text(Object text) {
    return text == null ? JsonNull.INSTANCE : new JsonPrimitive(text.toString());
  }

  static Key key(JsonElement from) {
    if (from == null || from.isJsonNull()) {
      return null;
    }
    JsonObject it = from.getAsJsonObject();
    byte[] key = hex(it, "key");
    return switch (it.get("kind").getAsInt()) {
      case 0 -> Key.anonymous(key);
      case 1 -> Key.consumer(key);
      case 2 -> Key.session(key);
      default -> Key.combined(key, hex(it, "session"));
    };
  }

  static List<Slot> slots(JsonObject from) {
    List<Slot> made = new ArrayList<>();
    for (JsonElement each : from.getAsJsonArray("slots")) {
      if (each.isJsonNull()) {
        made.add(Slot.vacant());
        continue;
      }
      JsonObject it = each.getAsJsonObject();
      SlotStatus status =
          new SlotStatus(
              named(State.class, it.get("state")),
              it.get("weight").getAsInt(),
              it.get("until").getAsLong());
      made.add(Slot.of(hex(it, "identity"), status));
    }
    return made;
  }

  static List<CookieKey> keys(JsonArray from) {
    List<CookieKey> made = new ArrayList<>();
    for (JsonElement each : from) {
      JsonObject it = each.getAsJsonObject();
      made.add(
          CookieKey.of(
              it.get("id").getAsInt(), named(Role.class, it.get("role")), hex(it, "secret")));
    }
    return made;
  }

  static int[] integers(JsonArray from) {
    int[] made = new int[from.size()];
    for (int i = 0; i < made.length; i++) {
      made[i] = from.get(i).getAsInt();
    }
    return made;
  }

  @Test
  void jumpGivesWhatOthersPublished() throws IOException {
    List<Path> files;
    try (Stream<Path> all = Files.list(VECTORS)) {
      files = all.filter(file -> file.getFileName().toString().startsWith("jump_")).toList();
    }
    assertEquals(6, files.size());
    for (Path file : files) {
      List<String> lines =
          Files.readAllLines(file).stream()
              .filter(line -> !line.startsWith("#") && !line.isBlank())
              .toList();
      List<String> names = Arrays.asList(lines.get(0).split(","));
      int bucket = names.indexOf(names.contains("reference_f64") ? "reference_f64" : "bucket");
      for (String line : lines.subList(1, lines.size())) {
        String[] row = line.split(",");
        long key = Long.parseUnsignedLong(row[names.indexOf("key")]);
        int buckets = Integer.parseInt(row[names.indexOf("n")]);
        assertEquals(
            Integer.parseInt(row[bucket]), Tokenpin.jump(key, buckets), file + ": " + line);
      }
    }
  }

  @Test
  void selection() throws IOException {
    JsonObject file = load("selection_v1.json");
    for (JsonObject it : cases(file, "identity_hash")) {
      assertEquals(it.get("hash"), hex64(Tokenpin.identityHash(hex(it, "identity"))));
    }
    for (JsonObject it : cases(file, "key_hash")) {
      long h = Tokenpin.keyHash(hex(it, "placement_key"), hex(it, "scope"), key(it.get("key")));
      assertEquals(it.get("h"), hex64(h), it.toString());
    }
    for (JsonObject it : cases(file, "jump")) {
      assertEquals(
          it.get("bucket").getAsInt(),
          Tokenpin.jump(hash(it.get("key")), it.get("n").getAsInt()),
          it.toString());
    }
    for (JsonObject it : cases(file, "select")) {
      Strategy strategy = named(Strategy.class, it.get("strategy"));
      Slots.Filter filter =
          new Slots.Filter(
              strategy,
              it.get("now").getAsLong(),
              it.get("anonymous").getAsBoolean(),
              integers(it.getAsJsonArray("tried")));
      long h = hash(it.get("h"));
      try (Slots slots = Slots.of(slots(it))) {
        boolean higress = strategy == Strategy.HIGRESS_FNV1A_MODULO;
        OptionalInt slot =
            higress ? slots.selectHigress(h, key(it.get("key")), filter) : slots.select(h, filter);
        assertEquals(it.get("slot"), number(slot), it.toString());
        if (!higress) {
          assertArrayEquals(new int[] {slot.orElse(-1)}, slots.selectBatch(new long[] {h}, filter));
        }
      }
    }
  }

  @Test
  void cookies() throws IOException {
    JsonObject file = load("cookie_v1.json");
    for (JsonObject it : cases(file, "encode")) {
      JsonObject says = it.getAsJsonObject("cookie");
      Cookie cookie = cookie(says);
      try (KeyRing ring = KeyRing.of(keys(it.getAsJsonArray("ring")))) {
        String value =
            ring.encode(cookie, it.get("name").getAsString(), hex(it, "scope"), key(it.get("key")));
        assertEquals(it.get("value").getAsString(), value, it.toString());
      }
    }
    for (JsonObject it : cases(file, "decode")) {
      JsonObject limits = it.getAsJsonObject("limits");
      try (KeyRing ring = KeyRing.of(keys(it.getAsJsonArray("ring")))) {
        KeyRing.Decoded decoded =
            ring.decode(
                it.get("value").getAsString(),
                it.get("name").getAsString(),
                hex(it, "scope"),
                key(it.get("key")),
                new CookieLimits(
                    limits.get("skew").getAsLong(),
                    limits.get("max_life").getAsLong(),
                    limits.get("max_idle").getAsLong(),
                    limits.get("refresh_interval").getAsLong()),
                it.get("now").getAsLong());
        assertEquals(it.get("verdict").getAsString(), decoded.verdict().toString(), it.toString());
        JsonElement says = it.get("cookie");
        assertEquals(
            says.isJsonNull() ? null : cookie(says.getAsJsonObject()),
            decoded.cookie(),
            it.toString());
      }
    }
    for (JsonObject it : cases(file, "header")) {
      String field = it.get("field").getAsString();
      String name = it.get("name").getAsString();
      JsonArray values = new JsonArray();
      Tokenpin.cookieValues(field, name).forEach(values::add);
      assertEquals(it.get("values"), values, it.toString());
      assertEquals(
          it.get("stripped").getAsString(), Tokenpin.cookieStrip(field, name), it.toString());
    }
    for (JsonObject it : cases(file, "default_name")) {
      assertEquals(it.get("name").getAsString(), Tokenpin.defaultCookieName(hex(it, "scope")));
    }
  }

  private static Cookie cookie(JsonObject says) {
    return new Cookie(
        Kind.values()[says.get("kind").getAsInt()],
        hex(says, "id"),
        hash(says.get("pin")),
        says.get("issued_at").getAsLong(),
        says.get("refreshed_at").getAsLong());
  }

  @Test
  void singleIds() throws IOException {
    JsonObject file = load("ids_v1.json");
    for (JsonObject it : cases(file, "seal")) {
      try (IdRing ring = IdRing.of(keys(it.getAsJsonArray("ring")))) {
        String id = it.get("id").getAsString();
        long pin = hash(it.get("pin"));
        if (it.get("sealed").isJsonNull()) {
          TokenpinException refused =
              assertThrows(
                  TokenpinException.class,
                  () -> ring.seal(id, pin, hex(it, "scope"), hex(it, "owner")));
          assertEquals(Status.ID, refused.status());
        } else {
          assertEquals(
              it.get("sealed").getAsString(),
              ring.seal(id, pin, hex(it, "scope"), hex(it, "owner")));
        }
      }
    }
    for (JsonObject it : cases(file, "mark")) {
      try (IdRing ring = IdRing.of(keys(it.getAsJsonArray("ring")))) {
        String mark =
            ring.mark(
                it.get("content").getAsString(),
                hash(it.get("pin")),
                hex(it, "scope"),
                hex(it, "owner"));
        assertEquals(it.get("mark").getAsString(), mark);
      }
    }
    for (String section : List.of("open", "open_mark")) {
      for (JsonObject it : cases(file, section)) {
        try (IdRing ring = IdRing.of(keys(it.getAsJsonArray("ring")))) {
          String text = it.get("text").getAsString();
          IdRing.Opened opened =
              section.equals("open")
                  ? ring.open(text, hex(it, "scope"), hex(it, "owner"))
                  : ring.openMark(text, hex(it, "scope"), hex(it, "owner"));
          assertEquals(it.get("verdict").getAsString(), opened.verdict().toString(), it.toString());
          assertEquals(
              it.get(section.equals("open") ? "native" : "content"),
              text(opened.text()),
              it.toString());
          if (opened.text() != null) {
            assertEquals(hash(it.get("pin")), opened.pin());
          }
        }
      }
    }
  }

  private static JsonObject summary(JsonObject expected, IdReport report) {
    JsonObject made = new JsonObject();
    // A decision names the account.
    made.add("account", expected.get("account"));
    made.addProperty("downloads", report.downloads());
    made.addProperty("existing", report.existing());
    made.add("keys", keyNumbers(report.keys()));
    made.addProperty("opened", report.opened());
    made.addProperty("plain", report.plain());
    made.addProperty("quoted", report.quoted());
    made.addProperty("refused", report.refused());
    made.addProperty("unreadable", report.unreadable());
    made.addProperty("unstored", report.unstored());
    made.addProperty("uploads", report.uploads());
    made.addProperty("verdict", report.verdict().toString());
    return made;
  }

  private static JsonArray keyNumbers(int[] keys) {
    JsonArray made = new JsonArray();
    for (int i = 0; i < 2; i++) {
      made.add(i < keys.length ? keys[i] : 255);
    }
    return made;
  }

  private static void sameNumbers(JsonObject expected, JsonObject made, String where) {
    // Numbers compare by value only as text.
    assertEquals(
        JsonParser.parseString(expected.toString()),
        JsonParser.parseString(made.toString()),
        where);
  }

  /** Each way to give a body, which must not matter. */
  private static List<Function<IdRewriter, Function<byte[], byte[]>>> ways(int size) {
    return List.of(
        rewriter ->
            body -> {
              ByteArrayOutputStream out = new ByteArrayOutputStream();
              for (int at = 0; at < body.length; at += size) {
                out.writeBytes(rewriter.push(body, at, Math.min(size, body.length - at)));
              }
              out.writeBytes(rewriter.finish());
              return out.toByteArray();
            },
        rewriter ->
            body -> {
              ByteArrayOutputStream out = new ByteArrayOutputStream();
              ByteBuffer direct = ByteBuffer.allocateDirect(body.length).put(body).flip();
              while (direct.hasRemaining()) {
                int length = Math.min(size, direct.remaining());
                ByteBuffer made = rewriter.push(direct.slice(direct.position(), length));
                direct.position(direct.position() + length);
                out.write(made.array(), made.arrayOffset() + made.position(), made.remaining());
              }
              out.writeBytes(rewriter.finish());
              return out.toByteArray();
            },
        rewriter ->
            body -> {
              try {
                return rewriter.wrap(new ByteArrayInputStream(body)).readAllBytes();
              } catch (IOException e) {
                throw new AssertionError(e);
              }
            },
        rewriter ->
            body -> {
              ByteArrayOutputStream out = new ByteArrayOutputStream();
              try (OutputStream in = rewriter.wrap(out)) {
                for (int at = 0; at < body.length; at += size) {
                  in.write(body, at, Math.min(size, body.length - at));
                }
              } catch (IOException e) {
                throw new AssertionError(e);
              }
              return out.toByteArray();
            },
        rewriter -> rewriter::body);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 1_000_000})
  void idsOfBodies(int size) throws IOException {
    JsonObject file = load("id_bodies_v1.json");
    JsonObject given = cases(file, "with").get(0);
    AffinityBuilder builder =
        Affinity.builder()
            .slot("account-a")
            .slot("account-b")
            .placementKey(utf8("pppppppppppppppp"));
    keys(given.getAsJsonArray("ring")).forEach(builder::cookieKey);
    try (Affinity affinity = builder.build()) {
      int slot = given.getAsJsonArray("accounts").asList().indexOf(given.get("pin"));
      assertEquals(hash(given.get("pin")), affinity.pin(slot));
      for (Function<IdRewriter, Function<byte[], byte[]>> way : ways(size)) {
        for (JsonObject it : cases(file, "responses")) {
          IdOptions options = options(given, it).withMode(Mode.SEAL);
          IdSealer sealer = affinity.sealer(slot, options, it.get("events").getAsBoolean());
          byte[] out = way.apply(sealer).apply(utf8(it.get("body").getAsString()));
          assertEquals(
              it.get("out").getAsString(), new String(out, StandardCharsets.UTF_8), it.toString());
          assertEquals(it.get("sealed").getAsLong(), sealer.changed(), it.toString());
          assertEquals(it.get("unexpected").getAsLong(), sealer.unexpected(), it.toString());
        }
        for (JsonObject it : cases(file, "requests")) {
          IdOpener opener =
              affinity.opener("", options(given, it).withMode(named(Mode.class, it.get("mode"))));
          byte[] out = way.apply(opener).apply(utf8(it.get("body").getAsString()));
          assertEquals(
              it.get("out").getAsString(), new String(out, StandardCharsets.UTF_8), it.toString());
          assertEquals(it.get("unexpected").getAsLong(), opener.unexpected(), it.toString());
          JsonObject summary = it.getAsJsonObject("summary");
          sameNumbers(summary, summary(summary, opener.report()), it.toString());
        }
      }
      for (JsonObject it : cases(file, "targets")) {
        IdOptions options = options(given, it).withMode(named(Mode.class, it.get("mode")));
        IdOpener opener = affinity.opener(it.get("target").getAsString(), options);
        assertEquals(it.get("out").getAsString(), opener.target(), it.toString());
        JsonObject summary = it.getAsJsonObject("summary");
        sameNumbers(summary, summary(summary, opener.report()), it.toString());
      }
      for (JsonObject it : cases(file, "locations")) {
        IdOptions options =
            IdOptions.of(Ids.ITEMS)
                .withMode(Mode.SEAL)
                .withOrigin(given.get("upstream").getAsString(), given.get("origin").getAsString());
        IdSealer sealer = affinity.sealer(slot, options, false);
        assertEquals(
            it.get("out").getAsString(),
            sealer.target(it.get("target").getAsString()),
            it.toString());
      }
    }
  }

  private static IdOptions options(JsonObject given, JsonObject it) {
    return IdOptions.of(named(Ids.class, it.get("ids")))
        .withScope(hex(given, "scope"))
        .withOwner(hex(given, "owner"));
  }

  static Affinity affinity(JsonObject it) {
    AffinityBuilder builder =
        Affinity.builder().placementKey(hex(it, "placement_key")).scope(hex(it, "scope"));
    slots(it).forEach(builder::slot);
    keys(it.getAsJsonArray("cookie_keys")).forEach(builder::cookieKey);
    keys(it.getAsJsonArray("id_keys")).forEach(builder::idKey);
    JsonObject attributes = it.getAsJsonObject("attributes");
    builder.attributes(
        new CookieAttributes(
            attributes.get("path").getAsString(),
            attributes.get("domain").getAsString(),
            attributes.get("secure").getAsBoolean(),
            attributes.get("http_only").getAsBoolean(),
            named(SameSite.class, attributes.get("same_site")),
            attributes.get("partitioned").getAsBoolean()));
    if (!it.get("cookie_name").isJsonNull()) {
      builder.cookieName(it.get("cookie_name").getAsString());
    }
    if (!it.get("max_age").isJsonNull()) {
      builder.maxAge(it.get("max_age").getAsLong());
    }
    JsonArray success = it.getAsJsonArray("success");
    for (JsonElement each : it.getAsJsonArray("id_fields")) {
      JsonObject field = each.getAsJsonObject();
      builder.idField(
          new IdField(field.get("name").getAsString(), named(KeyKind.class, field.get("kind"))));
    }
    it.getAsJsonArray("id_prefixes").forEach(each -> builder.idPrefix(each.getAsString()));
    it.getAsJsonArray("id_collections").forEach(each -> builder.idCollection(each.getAsString()));
    return builder
        .strategy(named(Strategy.class, it.get("strategy")))
        .policyExisting(named(Policy.class, it.get("policy_existing")))
        .policyNew(named(Policy.class, it.get("policy_new")))
        .skew(it.get("skew").getAsLong())
        .maxLife(it.get("max_life").getAsLong())
        .maxIdle(it.get("max_idle").getAsLong())
        .success(success.get(0).getAsInt(), success.get(1).getAsInt())
        .combineKeys(it.get("combine_keys").getAsBoolean())
        .rejectBadKeys(it.get("reject_bad_keys").getAsBoolean())
        .keyedCookies(it.get("keyed_cookies").getAsBoolean())
        .mintSingle(it.get("mint_single").getAsBoolean())
        .promptCache(it.get("prompt_cache").getAsBoolean())
        .idMode(named(Mode.class, it.get("id_mode")))
        .idOwner(named(IdOwner.class, it.get("id_owner")))
        .foreignSeals(named(ForeignSeals.class, it.get("foreign_seals")))
        .encryptedContent(it.get("encrypted_content").getAsBoolean())
        .build();
  }

  static Request request(JsonObject it, IdOpener opener) {
    Request made = Request.of(it.get("method").getAsString(), it.get("target").getAsString());
    it.getAsJsonArray("cookies").forEach(each -> made.cookie(each.getAsString()));
    it.getAsJsonArray("consumers")
        .forEach(each -> made.consumer(HexFormat.of().parseHex(each.getAsString())));
    it.getAsJsonArray("sessions")
        .forEach(each -> made.session(HexFormat.of().parseHex(each.getAsString())));
    if (!it.get("group").isJsonNull()) {
      made.group(named(Group.class, it.get("group")));
    }
    return made.consumerTrusted(it.get("consumer_trusted").getAsBoolean())
        .existing(it.get("existing").getAsBoolean())
        .carrierValue(it.get("carrier_value").getAsString())
        .carrier(it.get("carrier").getAsBoolean())
        .scope(hex(it, "scope"))
        .tried(integers(it.getAsJsonArray("tried")))
        .now(it.get("now").getAsLong())
        .entropy(hex(it, "entropy"))
        .idHint(it.get("id_hint").isJsonNull() ? null : hex(it, "id_hint"))
        .ids(opener);
  }

  private static JsonObject fields(Decision it) {
    JsonObject made = new JsonObject();
    made.addProperty("ambiguous", it.ambiguous());
    if (it.setsCookie()) {
      JsonObject cookie = new JsonObject();
      cookie.addProperty("carrier", it.carrier());
      cookie.addProperty("max_age", it.maxAge());
      cookie.addProperty("value", it.cookieValue());
      made.add("cookie", cookie);
    } else {
      made.add("cookie", JsonNull.INSTANCE);
    }
    made.addProperty("existing", it.existing());
    made.add("fingerprint", hex64(it.fingerprint()));
    made.add("id_keys", keyNumbers(it.idKeys()));
    made.addProperty("id_verdict", it.idVerdict().toString());
    made.addProperty("key_reason", it.keyReason().toString());
    made.addProperty("may_move", it.mayMove());
    made.addProperty("outcome", it.outcome().toString());
    made.addProperty("pin_state", it.pinState().toString());
    made.addProperty("refusal", it.refusal().toString());
    made.addProperty("refusal_status", it.refusalStatus());
    made.addProperty("retry_after", it.retryAfter());
    made.add("slot", number(it.slot()));
    made.addProperty("source", it.source().toString());
    made.addProperty("verdict", it.verdict().toString());
    return made;
  }

  private static IdOpener opener(Affinity affinity, JsonObject it) {
    if (!it.has("opened")) {
      return null;
    }
    JsonObject request = it.getAsJsonObject("request");
    JsonObject opened = it.getAsJsonObject("opened");
    String method = request.get("method").getAsString();
    String target = request.get("target").getAsString();
    Ids ids = affinity.classify(method, target).ids();
    byte[] owner = affinity.idOwner(request(request, null));
    IdOpener opener =
        affinity.opener(
            target, IdOptions.of(ids).withScope(hex(request, "scope")).withOwner(owner));
    byte[] body = opener.body(utf8(request.get("body").getAsString()));
    JsonObject made = new JsonObject();
    made.addProperty("body", new String(body, StandardCharsets.UTF_8));
    made.addProperty("ids", ids.toString());
    made.addProperty("seals", opener.report().seals());
    made.add("summary", summary(opened.getAsJsonObject("summary"), opener.report()));
    made.addProperty("target", opener.target());
    made.addProperty("unexpected", opener.unexpected());
    sameNumbers(opened, made, it.toString());
    return opener;
  }

  @ParameterizedTest
  @ValueSource(strings = {"decision_v1.json", "decision_ids_v1.json"})
  void decisions(String name) throws IOException {
    decisions(load(name));
  }

  /** Random cases of random.py, with the answers of the second implementation. */
  @Test
  void randomDecisions() throws IOException {
    String drawn = Files.readString(Path.of(System.getProperty("tokenpin.random")));
    decisions(JsonParser.parseString(drawn).getAsJsonObject());
  }

  private static void decisions(JsonObject file) {
    if (file.has("classify")) {
      for (JsonObject it : cases(file, "classify")) {
        Classification found =
            Tokenpin.classify(
                it.get("method").getAsString(),
                it.get("target").getAsString(),
                List.of(),
                false,
                it.get("prompt_cache").getAsBoolean());
        assertEquals(it.get("group").getAsString(), found.group().toString(), it.toString());
        assertEquals(it.get("existing").getAsBoolean(), found.existing(), it.toString());
        assertEquals(it.get("ids").getAsString(), found.ids().toString(), it.toString());
      }
      for (JsonObject it : cases(file, "id_hint")) {
        try (Affinity affinity =
            Affinity.builder()
                .slot("a")
                .placementKey(hex(it, "placement_key"))
                .cookieKey(CookieKey.of(1, utf8("ssssssssssssssss")))
                .build()) {
          assertArrayEquals(hex(it, "id_hint"), affinity.idHint(hex(it, "of")));
        }
      }
    }
    List<Affinity> affinities = cases(file, "configs").stream().map(VectorsTest::affinity).toList();
    for (JsonObject it : cases(file, "cases")) {
      Affinity affinity = affinities.get(it.get("config").getAsInt());
      JsonObject request = it.getAsJsonObject("request");
      Decision decision = affinity.decide(request(request, opener(affinity, it)));
      sameNumbers(it.getAsJsonObject("decision"), fields(decision), it.toString());
      long now = request.get("now").getAsLong();
      assertEquals(it.get("live_fingerprint"), hex64(affinity.liveFingerprint(now)));
      for (JsonObject answer : cases(it, "finish")) {
        Finished finished = affinity.finish(decision, answer.get("status").getAsInt());
        assertEquals(
            answer.get("answer").getAsString(), finished.answer().toString(), it.toString());
        assertEquals(answer.get("text").getAsString(), finished.value(), it.toString());
      }
    }
    for (JsonObject it : cases(file, "refused")) {
      Affinity affinity = affinities.get(it.get("config").getAsInt());
      TokenpinException refused =
          assertThrows(
              TokenpinException.class,
              () -> affinity.decide(request(it.getAsJsonObject("request"), opener(affinity, it))),
              it.toString());
      assertEquals(it.get("error").getAsString(), refused.status().toString(), it.toString());
    }
    affinities.forEach(Affinity::close);
  }
}
