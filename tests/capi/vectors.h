// The vector files, in C and in C++: one row a line. For one translation unit a program.
#ifndef VECTORS_H
#define VECTORS_H

#include <stdlib.h>
#include <tokenpin.h>

#include "check.h"

enum { kRoom = 1 << 14 };

typedef struct {
  char bytes[kRoom];
  size_t len;
  bool there;  // Not null.
} Value;

// Reads a string without its escapes, or a word. Returns its end.
static inline const char* read_value(const char* at, Value* value) {
  value->there = strncmp(at, "null", 4) != 0;
  value->len = 0;
  const bool is_string = *at == '"';
  at += is_string;
  while (value->len + 1 < kRoom && *at != 0) {
    if (is_string ? *at == '"' : strchr(",}]\n", *at) != NULL) break;
    char byte = *at++;
    if (is_string && byte == '\\') {
      static const char kEscapes[] = "bfnrt", kMeant[] = "\b\f\n\r\t";
      const char* escape = strchr(kEscapes, *at);
      byte = escape == NULL ? *at : kMeant[escape - kEscapes];
      CHECK(*at != 'u');
      at++;
    }
    value->bytes[value->len++] = byte;
  }
  value->bytes[value->len] = 0;
  CHECK(!is_string || *at == '"');
  return at + is_string;
}

// Finds the first byte behind the colon of a key. No string of a row has an unescaped quote in
// front of a colon.
static inline const char* find_key(const char* row, const char* key) {
  char pattern[40];
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  const char* at = strstr(row, pattern);
  return CHECK(at != NULL) ? at + strlen(pattern) : "";
}

static inline Value value_of(const char* row, const char* key) {
  static Value value;
  read_value(find_key(row, key), &value);
  return value;
}

static inline uint64_t number_of(const char* row, const char* key, int base) {
  return strtoull(value_of(row, key).bytes, NULL, base);
}

static inline bool is_true(const char* row, const char* key) {
  return strcmp(value_of(row, key).bytes, "true") == 0;
}

// Iterates over an array: `at` is behind its bracket, or behind an element. Returns NULL at its
// end.
static inline const char* next_element(const char* at) {
  at += *at == ',';
  return *at == ']' || *at == 0 ? NULL : at;
}

static inline const char* first_element(const char* row, const char* key) {
  const char* at = find_key(row, key);
  return CHECK(*at == '[') ? next_element(at + 1) : NULL;
}

static inline size_t from_hex(const char* hex, size_t len, void* bytes) {
  uint8_t* at = (uint8_t*)bytes;
  for (size_t i = 0; i + 1 < len; i += 2) {
    char pair[3] = {hex[i], hex[i + 1], 0};
    *at++ = (uint8_t)strtoul(pair, NULL, 16);
  }
  return len / 2;
}

// Returns 255 for a name that does not exist. No enum uses 255.
static inline uint8_t number_named(int32_t of, const char* name) {
  int32_t number = 0;
  for (tokenpin_bytes got; number < 255; number++) {
    if (tokenpin_enum_name(of, number, &got) == TOKENPIN_STATUS_OK && got.len == strlen(name) &&
        memcmp(got.ptr, name, got.len) == 0) {
      break;
    }
  }
  CHECK(number < 255);
  return (uint8_t)number;
}

static inline uint8_t enum_of(const char* row, const char* key, int32_t of) {
  return number_named(of, value_of(row, key).bytes);
}

static inline size_t keys_of(const char* row, const char* key, tokenpin_cookie_key* keys) {
  size_t count = 0;
  for (const char* at = first_element(row, key); at != NULL;
       at = next_element(strchr(at, '}') + 1)) {
    if (!CHECK(count < TOKENPIN_MAX_COOKIE_KEYS)) break;
    keys[count].id = (uint8_t)number_of(at, "id", 10);
    keys[count].role = enum_of(at, "role", TOKENPIN_ENUM_ROLE);
    from_hex(value_of(at, "secret").bytes, 32, keys[count].secret);
    count++;
  }
  return count;
}

typedef struct {
  FILE* file;
  char section[16];
  char row[1 << 16];
} Rows;

static inline bool next_row(Rows* rows) {
  while (fgets(rows->row, sizeof rows->row, rows->file) != NULL) {
    if (rows->row[0] == '"') sscanf(rows->row, "\"%15[a-z_]\"", rows->section);
    if (rows->row[0] == ' ') return true;
  }
  return false;
}

static inline bool is_section(const Rows* rows, const char* name) {
  return strcmp(rows->section, name) == 0;
}

static inline FILE* open_file(const char* folder, const char* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE* file = fopen(path, "r");
  CHECK(file != NULL);
  return file;
}

static inline bool same(const void* bytes, size_t len, const Value* expected) {
  return len == expected->len && memcmp(bytes, expected->bytes, len) == 0;
}

// Checks that a summary equals `says`.
static inline void report_is(const tokenpin_id_report* report, const char* says) {
  if (!CHECK(says != NULL)) return;
  CHECK(report->verdict == enum_of(says, "verdict", TOKENPIN_ENUM_ID_VERDICT));
  CHECK(report->opened == number_of(says, "opened", 10));
  CHECK(report->plain == number_of(says, "plain", 10));
  CHECK(report->refused == is_true(says, "refused"));
  CHECK(report->unreadable == is_true(says, "unreadable"));
  CHECK(report->existing == is_true(says, "existing"));
  CHECK(report->unstored == is_true(says, "unstored"));
  CHECK(report->uploads == is_true(says, "uploads"));
  CHECK(report->downloads == is_true(says, "downloads"));
  static const uint8_t kNothing[sizeof report->quoted] = {0};
  const Value quoted = value_of(says, "quoted");
  CHECK(same(report->quoted, report->quoted_len, &quoted));
  CHECK(memcmp(report->quoted + quoted.len, kNothing, sizeof kNothing - quoted.len) == 0);
  unsigned first = 0, second = 0;
  CHECK(sscanf(find_key(says, "keys"), "[%u,%u]", &first, &second) == 2);
  CHECK(report->keys[0] == first && report->keys[1] == second);
}

#endif
