// The interface of other.cpp for hpp.cpp.
#ifndef OTHER_H
#define OTHER_H

#include <tokenpin.hpp>

tokenpin::Result<tokenpin::Decision> decide_elsewhere(const tokenpin::Affinity& affinity,
                                                      const tokenpin::Request& request) noexcept;

// Returns the address of an inline function of the header, which is the same in every translation
// unit.
const void* address_elsewhere() noexcept;

// May read and write the memory, from the compiler's point of view.
void touch(void* memory) noexcept;

#endif
