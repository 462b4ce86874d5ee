package io.github.tokenpin.bench;

import com.google.common.hash.HashFunction;
import com.google.common.hash.Hashing;
import com.sun.management.ThreadMXBean;
import io.github.tokenpin.Affinity;
import io.github.tokenpin.Cookie;
import io.github.tokenpin.CookieKey;
import io.github.tokenpin.CookieLimits;
import io.github.tokenpin.Decision;
import io.github.tokenpin.IdRing;
import io.github.tokenpin.KeyRing;
import io.github.tokenpin.Kind;
import io.github.tokenpin.Request;
import io.github.tokenpin.Slots;
import io.github.tokenpin.Tokenpin;
import io.github.tokenpin.Verdict;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.function.LongUnaryOperator;
import java.util.stream.IntStream;

/** Measures calls, in nanoseconds and in bytes, beside Guava's. The least of many short runs. */
public final class Speed {
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
  private static final byte[] NONE = {};
  private static long sink;

  private Speed() {}

  private static double measure(String name, LongUnaryOperator call) {
    return measure(name, 2000, call);
  }

  private static double measure(String name, int size, LongUnaryOperator call) {
    // Until the compilers are done with it.
    long until = System.nanoTime() + 2_000_000_000L;
    long calls = 0;
    while (System.nanoTime() < until) {
      for (int i = 0; i < size; i++) {
        sink += call.applyAsLong(calls++);
      }
    }
    double least = Double.MAX_VALUE;
    long before = THREADS.getCurrentThreadAllocatedBytes();
    for (int run = 0; run < 400; run++) {
      long start = System.nanoTime();
      for (int i = 0; i < size; i++) {
        sink += call.applyAsLong(i);
      }
      least = Math.min(least, (double) (System.nanoTime() - start) / size);
    }
    long bytes = (THREADS.getCurrentThreadAllocatedBytes() - before) / (400L * size);
    System.out.printf("%-46s %9.0f ns %6d bytes%n", name, least, bytes);
    return least;
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  /** Runs all. */
  public static void main(String[] args) {
    System.out.printf(
        "Java %s, %s%n",
        Runtime.version().feature(), Tokenpin.isNative() ? "native" : "WebAssembly");
    CookieKey key = CookieKey.of(1, ascii("sixteen secrets!"));
    try (Affinity affinity =
            Affinity.builder()
                .slot("account-a")
                .slot("account-b")
                .slot("account-c")
                .slot("account-d")
                .placementKey(ascii("a placement key!"))
                .cookieKey(key)
                .build();
        KeyRing ring = KeyRing.of(List.of(key));
        IdRing ids = IdRing.of(List.of(key));
        Slots slots =
            Slots.of(
                IntStream.range(0, 1000)
                    .mapToObj(i -> io.github.tokenpin.Slot.of("a" + i))
                    .toList())) {
      Decision first = affinity.decide(Request.of("POST", "/v1/responses"));
      String field = affinity.finish(first, 200).value().split(";")[0];
      Request cookie = Request.of("POST", "/v1/responses").cookie("theme=dark; " + field);
      Request consumer =
          Request.of("POST", "/v1/responses").consumer("alice").consumerTrusted(true);
      Request minted = Request.of("POST", "/v1/responses");
      measure("a decision with a cookie", i -> affinity.decide(cookie).fingerprint());
      measure("with a consumer's name", i -> affinity.decide(consumer).fingerprint());
      measure("with a new cookie, and random numbers", i -> affinity.decide(minted).fingerprint());
      measure("finish, with a cookie", i -> affinity.finish(first, 200).value().length());

      long now = 1_800_000_000;
      Cookie says = new Cookie(Kind.ANONYMOUS, new byte[16], 1, now, now);
      String value = ring.encode(says, "pin", NONE, null);
      double encode =
          measure("making a cookie's value", i -> ring.encode(says, "pin", NONE, null).length());
      double decode =
          measure(
              "reading a cookie's value",
              i ->
                  ring.decode(value, "pin", NONE, null, CookieLimits.DEFAULT, now).verdict()
                          == Verdict.VALID
                      ? 1
                      : 0);
      HashFunction hmac = Hashing.hmacSha256(ascii("sixteen secrets!"));
      byte[] payload = new byte[34];
      String signed = sign(hmac, payload);
      double sign = measure("  Guava's HMAC-SHA-256, base64", i -> sign(hmac, payload).length());
      double verify = measure("  the same, read and compared", i -> verify(hmac, signed) ? 1 : 0);

      String sealed = ids.seal("resp_0123456789abcdef", 1, NONE, NONE);
      measure("sealing an id", i -> ids.seal("resp_0123456789abcdef", 1, NONE, NONE).length());
      measure("opening an id", i -> ids.open(sealed, NONE, NONE).pin());

      double jump =
          measure("jump hash, 1000 buckets", i -> Tokenpin.jump(i * 0x9e3779b97f4a7c15L, 1000));
      double guava =
          measure(
              "  Guava's consistentHash",
              i -> Hashing.consistentHash(i * 0x9e3779b97f4a7c15L, 1000));
      long[] hashes = new long[1000];
      for (int i = 0; i < hashes.length; i++) {
        hashes[i] = i * 0x9e3779b97f4a7c15L;
      }
      int[] selected = new int[1000];
      double batch =
          measure(
              "1000 keys of 1000 slots, in one call",
              10,
              i -> {
                slots.selectBatch(hashes, Slots.Filter.DEFAULT, selected);
                return selected[0];
              });
      System.out.printf(
          "Guava / tokenpin: making %.1f, reading %.1f, jump %.2f, one key of a batch %.0f ns%n%n",
          sign / encode, verify / decode, guava / jump, batch / 1000);
    }
    if (sink == 42) {
      System.out.println();
    }
  }

  private static String sign(HashFunction hmac, byte[] payload) {
    byte[] all = new byte[payload.length + 16];
    System.arraycopy(payload, 0, all, 0, payload.length);
    System.arraycopy(hmac.hashBytes(payload).asBytes(), 0, all, payload.length, 16);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(all);
  }

  private static boolean verify(HashFunction hmac, String value) {
    byte[] all = Base64.getUrlDecoder().decode(value);
    byte[] tag = new byte[16];
    System.arraycopy(all, all.length - 16, tag, 0, 16);
    byte[] made = new byte[16];
    System.arraycopy(hmac.hashBytes(all, 0, all.length - 16).asBytes(), 0, made, 0, 16);
    return MessageDigest.isEqual(made, tag);
  }
}
