// The header by itself, and twice.
#include <tokenpin.hpp>
