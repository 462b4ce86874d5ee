package io.github.tokenpin;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/** The promises of the interface beside the answers. */
class ContractTest {
  static final byte[] PLACEMENT = utf8("a placement key!");
  static final CookieKey KEY = CookieKey.of(1, utf8("sixteen secrets!"));

  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static AffinityBuilder builder(String... accounts) {
    AffinityBuilder builder = Affinity.builder().placementKey(PLACEMENT).cookieKey(KEY);
    for (String account : accounts) {
      builder.slot(account);
    }
    return builder;
  }

  static Request post() {
    return Request.of("POST", "/v1/responses");
  }

  @Test
  void theBackendIsTheOneThatWasAskedFor() {
    assertEquals("native".equals(System.getProperty("tokenpin.backend")), Tokenpin.isNative());
  }

  @Test
  void theLayoutOfAConfigurationIsTheLibrarys() {
    Core core = Pool.SHARED.borrow();
    try {
      int at = core.room(Layout.CONFIG_SIZE + 64);
      Arrays.fill(core.frame, at, at + Layout.CONFIG_SIZE + 64, (byte) 0x55);
      core.send();
      int shorter =
          Functions.configInit(core, core.address(at), Layout.CONFIG_SIZE - Layout.BYTES_SIZE / 2);
      assertEquals(Status.STRUCT_SIZE, Status.of(shorter));
      assertEquals(0, Functions.configInit(core, core.address(at), Layout.CONFIG_SIZE));
      assertEquals(Layout.CONFIG_SIZE, core.wordAt(at + Layout.CONFIG_AT_SIZE));
      assertEquals(-1, core.intAt(at + Layout.CONFIG_AT_MAX_AGE));
      assertEquals(300, core.intAt(at + Layout.CONFIG_AT_SKEW));
      assertEquals(2_592_000, core.intAt(at + Layout.CONFIG_AT_MAX_LIFE));
      assertEquals(200 | 299 << 16, core.intAt(at + Layout.CONFIG_AT_SUCCESS_FIRST));
      assertEquals(1, core.byteAt(at + Layout.CONFIG_AT_ENCRYPTED_CONTENT));
      assertEquals(0x55, core.byteAt(at + Layout.CONFIG_SIZE), "nothing behind it is written");
    } finally {
      Pool.SHARED.release(core);
    }
  }

  @Test
  void aRefusedConfigurationNamesFieldAndElement() {
    record Case(Status status, Field field, long index, UnaryOperator<AffinityBuilder> change) {}
    List<Case> cases =
        List.of(
            new Case(Status.DUPLICATE_IDENTITY, Field.SLOTS, 2, it -> it.slot("a")),
            new Case(Status.IDENTITY_EMPTY, Field.SLOTS, 2, it -> it.slot("")),
            new Case(
                Status.WEIGHT,
                Field.SLOTS,
                2,
                it -> it.slot(Slot.of("c", new SlotStatus(State.UP, 65537, 0)))),
            new Case(
                Status.WEIGHT,
                Field.SLOTS,
                2,
                it -> it.slot(Slot.of("c", new SlotStatus(State.UP, -1, 0)))),
            new Case(
                Status.UNTIL,
                Field.SLOTS,
                2,
                it -> it.slot(Slot.of("c", new SlotStatus(State.UP, 1, -1)))),
            new Case(
                Status.SIGNING_KEYS,
                Field.COOKIE_KEYS,
                1,
                it -> it.cookieKey(CookieKey.of(2, utf8("another secret!!")))),
            new Case(
                Status.ZERO_SECRET, Field.PLACEMENT_KEY, 0, it -> it.placementKey(new byte[16])),
            new Case(Status.SCOPE_LENGTH, Field.SCOPE, 0, it -> it.scope(new byte[1025])),
            new Case(Status.COOKIE_NAME, Field.COOKIE_NAME, 0, it -> it.cookieName("a b")),
            new Case(Status.SUCCESS_RANGE, Field.SUCCESS, 0, it -> it.success(300, 200)),
            new Case(
                Status.PATTERN,
                Field.RULES,
                0,
                it -> it.rule(new Rule("a//b", Group.STATEFUL, Ids.NONE))),
            new Case(Status.ID_FIELD, Field.ID_PREFIXES, 0, it -> it.idPrefix("ü")),
            new Case(
                Status.NEEDS_SECURE,
                Field.SAME_SITE,
                0,
                it ->
                    it.cookieName("x")
                        .attributes(
                            new CookieAttributes("", "", false, true, SameSite.NONE, false))));
    for (Case it : cases) {
      ConfigException refused =
          assertThrows(
              ConfigException.class,
              () -> it.change.apply(builder("a", "b")).build(),
              it.toString());
      assertEquals(it.status, refused.status());
      assertEquals(it.field, refused.field());
      assertTrue(refused.getMessage().startsWith(it.field + "["), refused.getMessage());
      assertTrue(
          refused.getMessage().endsWith(it.status + ": " + it.status.text()), refused.getMessage());
    }
    ConfigException none = assertThrows(ConfigException.class, () -> builder().build());
    assertEquals(Status.SLOT_COUNT, none.status());
  }

  @Test
  void whatDoesNotFitIsRefusedAtOnce() {
    assertThrows(IllegalArgumentException.class, () -> CookieKey.of(256, new byte[16]));
    assertThrows(IllegalArgumentException.class, () -> CookieKey.of(1, new byte[15]));
    assertThrows(IllegalArgumentException.class, () -> builder("a").maxLife(1L << 32));
    assertThrows(IllegalArgumentException.class, () -> builder("a").success(200, 1 << 16));
    assertThrows(IllegalArgumentException.class, () -> new CookieLimits(-1, 0, 0, 0));
    assertThrows(
        TokenpinException.class, () -> new Cookie(Kind.ANONYMOUS, new byte[16], 0, 1L << 32, 0));
    assertThrows(NullPointerException.class, () -> builder("a").slot((String) null));
    assertThrows(NullPointerException.class, () -> Request.of(null, "/"));
    assertEquals(
        Status.BUCKET_COUNT,
        assertThrows(TokenpinException.class, () -> Tokenpin.jump(1, 0)).status());
    assertEquals(
        Status.BUCKET_COUNT,
        assertThrows(TokenpinException.class, () -> Tokenpin.jump(1, -1)).status());
    try (Affinity affinity = builder("a", "b").build()) {
      assertEquals(
          Status.SLOT_RANGE,
          assertThrows(TokenpinException.class, () -> affinity.getSlot(-1)).status());
      assertEquals(
          Status.SLOT_RANGE,
          assertThrows(TokenpinException.class, () -> affinity.setSlot(2, SlotStatus.UP)).status());
      assertEquals(
          Status.VACANT,
          assertThrows(
                  TokenpinException.class, () -> affinity.setSlot(0, SlotStatus.of(State.VACANT)))
              .status());
      assertEquals(
          Status.SLOT_RANGE,
          assertThrows(
                  TokenpinException.class, () -> affinity.sealer(7, IdOptions.of(Ids.BOTH), false))
              .status());
      assertThrows(
          IllegalArgumentException.class,
          () -> affinity.decide(post().consumer("half \ud800 letter")));
      assertEquals(
          Status.ENTROPY,
          assertThrows(TokenpinException.class, () -> affinity.decide(post().entropy(new byte[16])))
              .status());
      assertEquals(
          Status.TIME,
          assertThrows(TokenpinException.class, () -> affinity.decide(post().now(1L << 32)))
              .status());
      assertNull(affinity.idKey(-1));
      assertNull(affinity.idKey(256));
      assertEquals("path", affinity.idKey(0));
      assertEquals(OptionalInt.of(1), affinity.find("b"));
      assertEquals(OptionalInt.empty(), affinity.find("c"));
    }
  }

  @Test
  void hostileSizesAreAnsweredOrRefused() {
    try (Affinity affinity = builder("a", "b").build()) {
      String long1 = "x".repeat(5_000_000);
      Decision tooLong = affinity.decide(post().consumer(long1).consumerTrusted(true));
      assertEquals(KeyReason.TOO_LONG, tooLong.keyReason());
      Request many = post();
      for (int i = 0; i < 50_000; i++) {
        many.cookie("__Host-tokenpin=" + i + "; a=" + i);
      }
      assertEquals(Verdict.MALFORMED, affinity.decide(many).verdict());
      assertEquals(
          Group.STATEFUL, affinity.classify("POST", "/v1/" + long1 + "/responses").group());
      assertEquals(5_000_004, Tokenpin.cookieStrip("a=1;" + long1, "b").length());
      IdOpener opener = affinity.opener("/v1/responses", Ids.ITEMS);
      byte[] body = utf8("{\"input\":\"" + long1 + "\"}");
      assertArrayEquals(body, opener.body(body));
      assertThrows(IllegalStateException.class, () -> opener.push(new byte[1]));
      assertThrows(IllegalStateException.class, opener::finish);
      // Small ones work as before.
      assertEquals(Outcome.PLACED, affinity.decide(post()).outcome());
    }
  }

  @Test
  void closedHandlesThrowAndMayBeClosedAgain() {
    Affinity affinity = builder("a", "b").build();
    Decision decision = affinity.decide(post());
    IdOpener opener = affinity.opener("/v1/responses", Ids.ITEMS);
    affinity.close();
    affinity.close();
    assertThrows(IllegalStateException.class, () -> affinity.decide(post()));
    assertThrows(IllegalStateException.class, () -> affinity.finish(decision, 200));
    assertThrows(IllegalStateException.class, () -> affinity.setSlot(0, SlotStatus.UP));
    assertThrows(IllegalStateException.class, () -> opener.push(new byte[1]));
    assertEquals(Refusal.NONE, decision.refusal(), "a decision is data");
    KeyRing ring = KeyRing.of(List.of(KEY));
    ring.close();
    ring.close();
    assertThrows(
        IllegalStateException.class,
        () -> ring.decode("x", "pin", new byte[0], null, CookieLimits.DEFAULT, 0));
    IdRing ids = IdRing.of(List.of(KEY));
    ids.close();
    assertThrows(IllegalStateException.class, () -> ids.open("x", new byte[0], new byte[0]));
    Slots slots = Slots.of(List.of(Slot.of("a")));
    slots.close();
    assertThrows(IllegalStateException.class, () -> slots.select(1));
  }

  @Test
  void aDecisionOfAnotherConfigurationIsStale() {
    try (Affinity one = builder("a", "b").build();
        Affinity other = builder("a", "c").build()) {
      Decision decision = one.decide(post());
      assertEquals(
          Status.STALE,
          assertThrows(TokenpinException.class, () -> other.finish(decision, 200)).status());
      assertNotEquals(one.fingerprint(), other.fingerprint());
    }
  }

  @Test
  void secretsAreInNoText() {
    try (Affinity affinity = builder("a", "b").build();
        KeyRing ring = KeyRing.of(List.of(KEY))) {
      Decision decision = affinity.decide(post());
      String value = decision.cookieValue();
      String text =
          KEY
              + " "
              + decision
              + " "
              + affinity.finish(decision, 200)
              + " "
              + ring
              + " "
              + affinity
              + " "
              + builder("a");
      assertFalse(
          text.contains(value) || text.contains("secret") || text.contains("placement"), text);
    }
  }

  /** A thread that is interrupted is served, and is interrupted afterwards. */
  @Test
  void anInterruptedThreadIsServed() {
    try (Affinity affinity = builder("a", "b", "c").build()) {
      Request request = post().now(1_800_000_000).entropy(utf8("sixteen letters!"));
      Decision expected = affinity.decide(request);
      for (int i = 0; i < 100; i++) {
        Thread.currentThread().interrupt();
        assertEquals(expected, affinity.decide(request));
        assertTrue(Thread.interrupted());
      }
      byte[] body = utf8("{\"id\":\"resp_1\",\"previous_response_id\":\"resp_2\"}");
      IdOptions options = IdOptions.of(Ids.ITEMS).withMode(Mode.SEAL);
      byte[] sealed = affinity.sealer(0, options, false).body(body);
      assertNotEquals(
          new String(body, StandardCharsets.UTF_8), new String(sealed, StandardCharsets.UTF_8));
      Thread.currentThread().interrupt();
      IdSealer sealer = affinity.sealer(0, options, false);
      byte[] again = sealer.body(body);
      assertTrue(Thread.interrupted());
      assertArrayEquals(sealed, again);
    }
  }

  /** Of 8000 bytes and more, HotSpot compiles none, and a decision would take ten times as long. */
  @Test
  void everyCompiledMethodIsShortEnoughForTheCompiler() throws IOException {
    String name = "/io/github/tokenpin/wasm/WasmMachineFuncGroup_0.class";
    try (InputStream in = ContractTest.class.getResourceAsStream(name)) {
      int longest = longestCode(in.readAllBytes());
      assertTrue(longest > 1000 && longest < 8000, longest + " bytes");
    }
  }

  private static int longestCode(byte[] file) throws IOException {
    DataInputStream in = new DataInputStream(new ByteArrayInputStream(file));
    in.skipNBytes(8);
    int count = in.readUnsignedShort();
    String[] names = new String[count];
    for (int i = 1; i < count; i++) {
      int tag = in.readUnsignedByte();
      switch (tag) {
        case 1 -> names[i] = in.readUTF();
        case 5, 6 -> {
          in.skipNBytes(8);
          i++;
        }
        case 7, 8, 16, 19, 20 -> in.skipNBytes(2);
        case 15 -> in.skipNBytes(3);
        default -> in.skipNBytes(4);
      }
    }
    in.skipNBytes(6);
    in.skipNBytes(2L * in.readUnsignedShort());
    int longest = 0;
    // Fields, of which there are none, and methods.
    for (int members = 0; members < 2; members++) {
      for (int left = in.readUnsignedShort(); left > 0; left--) {
        in.skipNBytes(6);
        for (int attributes = in.readUnsignedShort(); attributes > 0; attributes--) {
          String attribute = names[in.readUnsignedShort()];
          int length = in.readInt();
          if (attribute.equals("Code")) {
            in.skipNBytes(4);
            longest = Math.max(longest, in.readInt());
            in.skipNBytes(length - 8);
          } else {
            in.skipNBytes(length);
          }
        }
      }
    }
    return longest;
  }

  /** A decision allocates nothing but itself. */
  @Test
  void aCallLeavesNoGarbageBesideItsResult() {
    com.sun.management.ThreadMXBean threads =
        (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (Affinity affinity = builder("a", "b", "c", "d").build()) {
      String cookie = affinity.finish(affinity.decide(post()), 200).value().split(";")[0];
      Request request = post().cookie(cookie);
      int rounds = 20_000;
      for (int i = 0; i < rounds; i++) {
        affinity.decide(request);
        Tokenpin.jump(i, 1000);
      }
      long id = Thread.currentThread().getId();
      long before = threads.getThreadAllocatedBytes(id);
      for (int i = 0; i < rounds; i++) {
        Tokenpin.jump(i, 1000);
      }
      long jumps = threads.getThreadAllocatedBytes(id) - before;
      for (int i = 0; i < rounds; i++) {
        affinity.decide(request);
      }
      long decisions = threads.getThreadAllocatedBytes(id) - before - jumps;
      // An array of 112 bytes and the object that holds it, with their headers.
      long result = 112 + 16 + 16;
      assertTrue(jumps < rounds, "jump: " + (double) jumps / rounds + " bytes a call");
      assertTrue(
          decisions < rounds * (result + 8),
          "decide: " + (double) decisions / rounds + " bytes a call");
    }
  }
}
