// An instrumented library keeps panics that optimisation removes from the real one, and refers to
// this function.
#include <stdlib.h>

void tokenpin_error_a_panic_is_reachable(void);
void tokenpin_error_a_panic_is_reachable(void) { abort(); }
