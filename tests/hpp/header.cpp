// Includes only the header, twice.
#include <tokenpin.hpp>
