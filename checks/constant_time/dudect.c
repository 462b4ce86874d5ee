// Measures how long it takes to refuse cookies, or sealed ids, of which the first byte of the tag
// is wrong, the last, or all. dudect.py runs it many times, and compares. After Reparaz, Balasch
// and Verbauwhede, "Dude, is my code constant time?" (2017): the order of the three classes is
// random, and the slowest measurements are left out, because noise of the scheduler hides small
// differences.
//
//   dudect VALUES SECONDS SEED   VALUES is near_misses.py's output: three in a row, one of each
//   class
//
// Prints the number of measurements, and the mean of each class in cycles of the time stamp
// counter.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tokenpin.h>
#include <x86intrin.h>

#include "numbers.h"

enum { kClasses = 3, kMaxValues = 10000, kBatch = 100000, kMaxLen = 99 };

static const char kName[] = "__Host-tokenpin";

static char values[kMaxValues][kClasses][kMaxLen + 1];
static int value_count;
// The length of each value, and whether they are sealed ids.
static int len;
static int are_ids;
static uint64_t cycles[kBatch], sorted[kBatch];
static uint8_t class_of[kBatch];
static tokenpin_key_ring ring;
static tokenpin_id_ring id_ring;

static void fail(const char* what) {
  fprintf(stderr, "dudect.c: %s\n", what);
  exit(2);
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

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: dudect VALUES SECONDS SEED");
  read_values(argv[1]);
  tokenpin_cookie_key key = {.id = 1, .role = TOKENPIN_ROLE_SIGN};
  memcpy(key.secret, "a cookie secret!", sizeof key.secret);
  if (tokenpin_key_ring_init(&ring, &key, 1, NULL, NULL) != TOKENPIN_STATUS_OK ||
      tokenpin_id_ring_init(&id_ring, &key, 1, NULL, NULL) != TOKENPIN_STATUS_OK) {
    fail("no ring");
  }
  for (long skipped = 1000001 * atol(argv[3]); skipped > 0; skipped--) next_number();
  // The first batch only says which measurements are slow: more than 31 in 32.
  measure();
  memcpy(sorted, cycles, sizeof sorted);
  qsort(sorted, kBatch, sizeof *sorted, ascending);
  uint64_t slow = sorted[kBatch - kBatch / 32];
  uint64_t sum[kClasses] = {0}, count[kClasses] = {0};
  time_t end = time(NULL) + atol(argv[2]);
  do {
    measure();
    for (int i = 0; i < kBatch; i++) {
      if (cycles[i] > slow) continue;
      sum[class_of[i]] += cycles[i];
      count[class_of[i]]++;
    }
  } while (time(NULL) < end);
  printf("%llu", (unsigned long long)(count[0] + count[1] + count[2]));
  for (int class = 0; class < kClasses; class ++) {
    if (count[class] == 0) fail("all measurements are slow");
    printf(" %.4f", (double)sum[class] / (double)count[class]);
  }
  printf("\n");
  return 0;
}
