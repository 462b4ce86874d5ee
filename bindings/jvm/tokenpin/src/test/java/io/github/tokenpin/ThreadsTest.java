package io.github.tokenpin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** Many threads concurrently. */
class ThreadsTest {
  private static <T> List<T> inThreads(int count, Callable<T> work)
      throws InterruptedException, ExecutionException {
    ExecutorService pool = Executors.newFixedThreadPool(count);
    try {
      List<Future<T>> started = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        started.add(pool.submit(work));
      }
      List<T> done = new ArrayList<>();
      for (Future<T> each : started) {
        done.add(each.get());
      }
      return done;
    } finally {
      pool.shutdownNow();
    }
  }

  @Test
  void allThreadsGetTheSameAnswers() throws Exception {
    try (Affinity affinity = ContractTest.builder("a", "b", "c", "d", "e").build()) {
      List<List<Decision>> all =
          inThreads(
              8,
              () -> {
                List<Decision> made = new ArrayList<>();
                for (int i = 0; i < 2000; i++) {
                  byte[] entropy = ContractTest.utf8(String.format("%016d", i + 1));
                  made.add(
                      affinity.decide(
                          ContractTest.post()
                              .now(1_800_000_000)
                              .entropy(entropy)
                              .consumer("c" + i % 7)
                              .consumerTrusted(i % 2 == 0)));
                }
                return made;
              });
      all.forEach(each -> assertEquals(all.get(0), each));
    }
  }

  /** A decision that begins after a change sees it, on every thread. */
  @Test
  void aChangeIsSeenByWhateverBeginsAfterIt() throws Exception {
    try (Affinity affinity = ContractTest.builder("a", "b").build()) {
      // Which slot is down for as long as this number stays: the last bit; none if it is even in
      // the one before.
      AtomicLong stamp = new AtomicLong();
      AtomicBoolean done = new AtomicBoolean();
      Thread writer =
          new Thread(
              () -> {
                for (int i = 0; i < 400; i++) {
                  int slot = i % 2;
                  affinity.setSlot(slot, SlotStatus.of(State.DOWN));
                  stamp.set(i * 4L + 2 + slot);
                  for (int j = 0; j < 20; j++) {
                    Thread.yield();
                  }
                  stamp.set(i * 4L + 4);
                  affinity.setSlot(slot, SlotStatus.UP);
                }
                done.set(true);
              });
      writer.start();
      List<Integer> checked =
          inThreads(
              4,
              () -> {
                int seen = 0;
                while (!done.get()) {
                  long before = stamp.get();
                  int slot = affinity.decide(ContractTest.post()).slot().orElse(-1);
                  if ((before & 2) != 0 && before == stamp.get()) {
                    assertEquals(1 - (before & 1), slot, "the other one is up");
                    seen++;
                  }
                }
                return seen;
              });
      writer.join();
      int seen = checked.stream().mapToInt(each -> each).sum();
      assertTrue(seen > 0, "no decision was made while a slot was down");
    }
  }

  @Test
  void anAffinityMayBeClosedWhileThreadsUseIt() throws Exception {
    for (int round = 0; round < 15; round++) {
      Affinity affinity = ContractTest.builder("a", "b", "c").build();
      AtomicInteger started = new AtomicInteger();
      Thread closer =
          new Thread(
              () -> {
                while (started.get() < 4) {
                  Thread.onSpinWait();
                }
                affinity.close();
              });
      closer.start();
      List<Integer> outcomes =
          inThreads(
              4,
              () -> {
                started.incrementAndGet();
                for (int made = 0; made < 1_000_000; made++) {
                  try {
                    Decision decision = affinity.decide(ContractTest.post());
                    assertTrue(decision.slot().isPresent());
                    affinity.finish(decision, 200);
                  } catch (IllegalStateException e) {
                    assertEquals("it is closed", e.getMessage());
                    return made;
                  }
                }
                return -1;
              });
      closer.join();
      assertTrue(outcomes.stream().allMatch(made -> made >= 0), outcomes.toString());
    }
  }

  @Test
  void aRingMayBeClosedWhileThreadsUseIt() throws Exception {
    Cookie cookie = new Cookie(Kind.ANONYMOUS, new byte[16], 1, 2, 3);
    for (int round = 0; round < 15; round++) {
      KeyRing ring = KeyRing.of(List.of(ContractTest.KEY));
      String expected = ring.encode(cookie, "pin", new byte[0], null);
      AtomicInteger started = new AtomicInteger();
      Thread closer =
          new Thread(
              () -> {
                while (started.get() < 4) {
                  Thread.onSpinWait();
                }
                ring.close();
              });
      closer.start();
      inThreads(
          4,
          () -> {
            started.incrementAndGet();
            for (int made = 0; ; made++) {
              try {
                assertEquals(expected, ring.encode(cookie, "pin", new byte[0], null));
              } catch (IllegalStateException e) {
                return made;
              }
            }
          });
      closer.join();
    }
  }

  /** Interruptions from outside, at any moment, change no answer. */
  @Test
  void interruptionsChangeNoAnswer() throws Exception {
    try (Affinity affinity = ContractTest.builder("a", "b", "c").build()) {
      Request request =
          ContractTest.post().now(1_800_000_000).entropy(ContractTest.utf8("sixteen letters!"));
      Decision expected = affinity.decide(request);
      byte[] body =
          ContractTest.utf8(
              "{\"id\":\"resp_1\",\"data\":[{\"id\":\"resp_2\"},{\"id\":\"resp_3\"}]}");
      IdOptions options = IdOptions.of(Ids.ITEMS).withMode(Mode.SEAL);
      String sealed = new String(affinity.sealer(0, options, false).body(body));
      Thread caller = Thread.currentThread();
      AtomicBoolean done = new AtomicBoolean();
      Thread interrupter =
          new Thread(
              () -> {
                while (!done.get()) {
                  caller.interrupt();
                  for (int i = 0; i < 2000; i++) {
                    Thread.onSpinWait();
                  }
                }
              });
      interrupter.start();
      int interrupted = 0;
      try {
        for (int i = 0; i < 500; i++) {
          assertEquals(expected, affinity.decide(request));
          assertEquals(sealed, new String(affinity.sealer(0, options, false).body(body)));
          interrupted += Thread.interrupted() ? 1 : 0;
        }
      } finally {
        done.set(true);
        while (interrupter.isAlive()) {
          Thread.interrupted(); // its last one may come late
          Thread.onSpinWait();
        }
        Thread.interrupted();
      }
      assertTrue(interrupted > 0, "no call was interrupted");
    }
  }

  @Test
  void whatNobodyHoldsIsLetGo() throws Exception {
    for (int i = 0; i < 800; i++) {
      ContractTest.builder("a", "b").build().decide(ContractTest.post());
    }
    // That many instances of WebAssembly would not fit into the heap of the tests if they stayed.
  }
}
