// Measures whether the time to refuse a cookie, or a sealed id, depends on the wrong part of its
// tag: the first byte, the last, or all. After Reparaz, Balasch and Verbauwhede, "Dude, is my code
// constant time?" (2017): the order of the classes is random, and Welch's t-test compares their
// times, of all measurements and of those below a number of quantiles, because noise of the
// scheduler hides small differences.
//
//   dudect VALUES SECONDS   VALUES is near_misses.py's output: three in a row, one of each class
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tokenpin.h>
#include <x86intrin.h>

#include "numbers.h"

enum { kClasses = 3, kMaxValues = 10000, kBatch = 200000, kCrops = 10, kMaxLen = 99 };

static const char kName[] = "__Host-tokenpin";
static const double kThreshold = 4.5;
static const char* const kNames[kClasses] = {"first byte", "last byte", "everywhere"};

// Computes mean and variance by Welford's method.
typedef struct {
  double n, mean, squares;
} moments;

static char values[kMaxValues][kClasses][kMaxLen + 1];
static int value_count;
// The length of each value, and whether they are sealed ids.
static int len;
static int are_ids;
// The moments of every crop. The first crop leaves out nothing.
static moments measured[kCrops + 1][kClasses];
static uint64_t limit[kCrops + 1];
static uint64_t cycles[kBatch], sorted[kBatch];
static uint8_t class_of[kBatch];
static tokenpin_key_ring ring;
static tokenpin_id_ring id_ring;

static void fail(const char* what) {
  fprintf(stderr, "dudect.c: %s\n", what);
  exit(2);
}

static void add(moments* of, double value) {
  of->n++;
  double delta = value - of->mean;
  of->mean += delta / of->n;
  of->squares += delta * (value - of->mean);
}

static double welch(const moments* a, const moments* b) {
  double variance = a->squares / (a->n - 1) / a->n + b->squares / (b->n - 1) / b->n;
  return variance > 0 ? (a->mean - b->mean) / sqrt(variance) : 0;
}

static void read_values(const char* path) {
  FILE* file = fopen(path, "r");
  if (file == NULL) fail("cannot open the values");
  while (value_count < kMaxValues) {
    int read = 0;
    while (read < kClasses && fscanf(file, "%99s", values[value_count][read]) == 1) read++;
    if (read < kClasses) break;
    value_count++;
  }
  fclose(file);
  if (value_count == 0) fail("no values");
  len = (int)strlen(values[0][0]);
  are_ids = strncmp(values[0][0], "file-", 5) == 0;
}

// Copies a value of the class, after reading one of each, so that the caches do not depend on the
// class.
static void choose(char* value, uint8_t class) {
  char(*row)[kMaxLen + 1] = values[next_number() % (uint64_t)value_count];
  for (int i = 0; i < len; i++) {
    value[i] = 0;
    for (int other = 0; other < kClasses; other++) value[i] |= row[other][i] & -(other == class);
  }
}

static void measure(void) {
  static const tokenpin_limits limits = {.skew = 300};
  char value[kMaxLen], native[TOKENPIN_MAX_SEALED_ID];
  size_t native_len;
  uint64_t pin;
  uint8_t key_id;
  for (int i = 0; i < kBatch; i++) {
    class_of[i] = (uint8_t)(next_number() % kClasses);
    choose(value, class_of[i]);
    uint8_t verdict = TOKENPIN_VERDICT_ABSENT;
    unsigned core;
    // Waits for the copy. Otherwise it would be timed too.
    _mm_mfence();
    _mm_lfence();
    uint64_t start = __rdtsc();
    _mm_lfence();
    int32_t status =
        are_ids ? tokenpin_id_open(&id_ring, NULL, 0, NULL, 0, value, (size_t)len, native,
                                   sizeof native, &native_len, &verdict, &pin, &key_id)
                : tokenpin_cookie_decode(&ring, kName, sizeof kName - 1, NULL, 0, NULL, &limits,
                                         1800000000, value, (size_t)len, &verdict, NULL);
    uint64_t end = __rdtscp(&core);
    _mm_lfence();
    cycles[i] = end - start;
    int refusal = are_ids ? TOKENPIN_ID_VERDICT_BAD_SEAL : TOKENPIN_VERDICT_BAD_TAG;
    if (status != TOKENPIN_STATUS_OK || verdict != refusal) fail("not refused");
  }
}

static int ascending(const void* a, const void* b) {
  uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return (x > y) - (x < y);
}

// Takes the quantiles 1/2, 3/4, 7/8 and so on from the first batch, which is then discarded.
static void set_limits(void) {
  memcpy(sorted, cycles, sizeof sorted);
  qsort(sorted, kBatch, sizeof *sorted, ascending);
  limit[0] = UINT64_MAX;
  for (int crop = 1; crop <= kCrops; crop++) {
    limit[crop] = sorted[(size_t)((1 - pow(0.5, crop)) * kBatch)];
  }
}

static void take(void) {
  for (int i = 0; i < kBatch; i++) {
    for (int crop = 0; crop <= kCrops; crop++) {
      if (cycles[i] < limit[crop]) add(&measured[crop][class_of[i]], (double)cycles[i]);
    }
  }
}

// Returns the largest t of all crops with enough measurements.
static double largest(int a, int b) {
  double t = 0;
  for (int crop = 0; crop <= kCrops; crop++) {
    const moments *x = &measured[crop][a], *y = &measured[crop][b];
    if (x->n > 1000 && y->n > 1000 && fabs(welch(x, y)) > fabs(t)) t = welch(x, y);
  }
  return t;
}

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: dudect VALUES SECONDS");
  read_values(argv[1]);
  tokenpin_cookie_key key = {.id = 1, .role = TOKENPIN_ROLE_SIGN};
  memcpy(key.secret, "a cookie secret!", sizeof key.secret);
  if (tokenpin_key_ring_init(&ring, &key, 1, NULL, NULL) != TOKENPIN_STATUS_OK ||
      tokenpin_id_ring_init(&id_ring, &key, 1, NULL, NULL) != TOKENPIN_STATUS_OK) {
    fail("no ring");
  }
  measure();
  set_limits();
  time_t begin = time(NULL), shown = begin;
  double worst = 0;
  for (;;) {
    measure();
    take();
    time_t now = time(NULL), end = begin + atol(argv[2]);
    if (now < shown + 5 && now < end) continue;
    shown = now;
    worst = 0;
    printf("%10.0f measurements", measured[0][0].n + measured[0][1].n + measured[0][2].n);
    for (int a = 0; a < kClasses; a++) {
      for (int b = a + 1; b < kClasses; b++) {
        double t = largest(a, b);
        worst = fmax(worst, fabs(t));
        printf("; %s and %s: t = %+.2f", kNames[a], kNames[b], t);
      }
    }
    printf("\n");
    fflush(stdout);
    if (now >= end) break;
  }
  for (int class = 0; class < kClasses; class ++) {
    printf("%s wrong: %.2f cycles on average, %.2f in the faster half\n", kNames[class],
           measured[0][class].mean, measured[1][class].mean);
  }
  printf("the largest |t| is %.2f, the threshold %.1f\n", worst, kThreshold);
  return worst >= kThreshold;
}
