// Random numbers, the same on every machine. For one translation unit a program.
#ifndef NUMBERS_H
#define NUMBERS_H

#include <stdint.h>

// splitmix64.
static inline uint64_t next_number(void) {
  static uint64_t state;
  uint64_t x = state += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

#endif
