// Stands in front of the C library's allocator, for the program and for a shared library alike.
#ifndef ALLOC_H
#define ALLOC_H

#include <stdbool.h>
#include <stddef.h>

// Calls so far of malloc, calloc, realloc and aligned_alloc; and of free with a pointer.
extern unsigned long alloc_count;
extern unsigned long alloc_free_count;
// While set, there is no memory.
extern bool alloc_fails;
// What the latest malloc was asked for, and gave.
extern size_t alloc_latest_size;
extern void* alloc_latest;
// Sees every block that is about to be freed, if set.
extern void (*alloc_on_free)(const void* block);

#endif
