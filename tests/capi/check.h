// Checks that count, and report where they fail. For one translation unit a program.
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned long check_passed;
static unsigned long check_failed;
// The current row of a table, printed with a failure.
static char check_context[160];

static inline bool check_at(bool good, const char* what, const char* file, int line) {
  if (good) {
    check_passed++;
  } else {
    check_failed++;
    printf("%s:%d: failed: %s [%s]\n", file, line, what, check_context);
  }
  return good;
}

// Checks a condition in the sense of `if`, in C++ too.
#define CHECK(condition) check_at((condition) ? true : false, #condition, __FILE__, __LINE__)

// Prints the last line of every program, and returns the result of `main`.
static inline int check_report(void) {
  printf("%lu passed, %lu failed\n", check_passed, check_failed);
  return check_failed != 0;
}

#endif
