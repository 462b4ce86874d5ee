// What other.cpp has for hpp.cpp.
#ifndef OTHER_H
#define OTHER_H

#include <tokenpin.hpp>

tokenpin::Result<tokenpin::Decision> decide_elsewhere(const tokenpin::Affinity& affinity,
                                                      const tokenpin::Request& request) noexcept;

// Of an inline function of the header: the same in every translation unit.
const void* address_elsewhere() noexcept;

// May read and write the memory, as far as the compiler knows.
void touch(void* memory) noexcept;

#endif
