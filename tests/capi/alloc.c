#include "alloc.h"

#include <errno.h>
#include <stdlib.h>

// The allocator itself, under the names that glibc exports for this purpose.
extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* block, size_t size);
extern void* __libc_memalign(size_t align, size_t size);
extern void __libc_free(void* block);

unsigned long alloc_count;
unsigned long alloc_free_count;
bool alloc_fails;
size_t alloc_latest_size;
void* alloc_latest;
void (*alloc_on_free)(const void* block);

static bool counted(void) {
  alloc_count++;
  if (alloc_fails) errno = ENOMEM;
  return !alloc_fails;
}

void* malloc(size_t size) {
  void* block = counted() ? __libc_malloc(size) : NULL;
  alloc_latest_size = size;
  alloc_latest = block;
  return block;
}

void* calloc(size_t count, size_t size) { return counted() ? __libc_calloc(count, size) : NULL; }

void* realloc(void* block, size_t size) { return counted() ? __libc_realloc(block, size) : NULL; }

void* aligned_alloc(size_t align, size_t size) {
  return counted() ? __libc_memalign(align, size) : NULL;
}

void free(void* block) {
  if (block == NULL) return;
  alloc_free_count++;
  if (alloc_on_free != NULL) alloc_on_free(block);
  __libc_free(block);
}
