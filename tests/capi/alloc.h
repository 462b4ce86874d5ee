// Replaces the C library's allocator, for the program and for a shared library.
#ifndef ALLOC_H
#define ALLOC_H

#include <stdbool.h>
#include <stddef.h>

// Calls so far of malloc, calloc, realloc and aligned_alloc; and of free with a pointer.
extern unsigned long alloc_count;
extern unsigned long alloc_free_count;
// While set, allocations fail.
extern bool alloc_fails;
// The size and the result of the latest malloc.
extern size_t alloc_latest_size;
extern void* alloc_latest;
// Sees every block that is about to be freed, if set.
extern void (*alloc_on_free)(const void* block);

#endif
