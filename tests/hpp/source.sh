#!/usr/bin/env bash
# The properties of tokenpin.hpp that no program can show: it reaches the whole C interface, and
# invalid code does not compile. Uses CXX. The last line is `N passed, M failed`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
include=$here/../../include
passed=0
failed=0

check() { # yes or no, what is checked
  if [ "$1" = yes ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "source.sh: failed: $2"
  fi
}

compiles() { # code in the body of a function
  printf '#include <tokenpin.hpp>\n#include <vector>\nusing namespace tokenpin;\nvoid body(%s) { %s }\n' \
    'const Affinity& affinity, const Config& config, Block& block' "$1" |
    "${CXX:-c++}" -std=c++17 -Wall -Werror "-I$include" -fsyntax-only -x c++ - 2> /dev/null && echo yes || echo no
}
refused() { if [ "$(compiles "$1")" = no ]; then echo yes; else echo no; fi; }

while read -r function; do
  if grep -qw "$function" "$include/tokenpin.hpp"; then found=yes; else found=no; fi
  check $found "$function is reached"
done < <(grep -oE '^[a-z].*\btokenpin_[a-z0-9_]+\(' "$include/tokenpin.h" |
  grep -oE 'tokenpin_[a-z0-9_]+\(' | tr -d '(')
check "$([ "$passed" -ge 35 ] && echo yes || echo no)" 'the functions of tokenpin.h are found'

# A result must not be dropped. With `(void)` the same code compiles.
while read -r call; do
  check "$(compiles "(void)$call;")" "it compiles: $call"
  check "$(refused "$call;")" "dropped: $call"
done << 'CALLS'
Affinity::make(config)
Affinity::size_of(config)
affinity.decide(Request())
affinity.finish(Decision(), 200)
affinity.set_slot(0, kUp)
affinity.find("a")
KeyRing::make({})
IdRing::make({})
affinity.id_key(0)
affinity.seal_target(IdUse(), {}, 0, "/", {})
jump(1, 1)
fill_entropy(block)
random_bytes(block, sizeof block)
set_cookie_matches("a=1", "a")
unix_now()
abi_matches()
name(TOKENPIN_STATE_UP)
CALLS

check "$(refused 'Affinity copy(affinity);')" 'a handle is not copied'
check "$(refused 'bool good = affinity.set_slot(0, kUp); (void)good;')" 'a result is no bool'
check "$(compiles 'bool good{affinity.set_slot(0, kUp)}; (void)good;')" 'but is converted to one on request'
check "$(refused 'Request().set_cookies(std::vector<Bytes>(1));')" 'a temporary does not outlive the call'
check "$(compiles 'std::vector<Bytes> fields(1); Request().set_cookies(fields);')" 'a variable does'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
