#!/usr/bin/env bash
# The library as the linker sees it, and proof that these checks can fail.
#
#   symbols.sh LIB    LIB is the folder of libtokenpin.a and libtokenpin.so
#
# Uses CC, MAKE and SONAME from the environment; SONAME is not checked if it is empty.
set -euo pipefail

lib=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
header=$root/include/tokenpin.h
cc=${CC:-cc}
work=$(mktemp -d "$lib/../symbols.XXXXXX")
work=$(cd "$work" && pwd)
trap 'rm -rf "$work"' EXIT

# The only symbols that the library may need from the C library.
allowed='bcmp free malloc memcmp memcpy memmove memset'

# shellcheck source=checks/expect.sh
source checks/expect.sh

# Lists the functions that the header declares, without its comments.
declared() {
  "$cc" -fpreprocessed -dD -P -E -x c "$header" 2>/dev/null | grep -v '^ *#' |
    grep -oE '[A-Za-z_][A-Za-z0-9_]* *\(' | tr -d ' (' | LC_ALL=C sort -u
}

names() { awk 'NF { print $NF }' | sed 's/@.*//' | LC_ALL=C sort -u; }
defined() {
  case $1 in
  *.a) nm --extern-only --defined-only "$1" | grep -v ':$' | names ;;
  *) nm --dynamic --defined-only "$1" | names ;;
  esac
}
undefined() {
  case $1 in
  *.a) nm --extern-only --undefined-only "$1" | grep -v ':$' | names ;;
  *) nm --dynamic --undefined-only "$1" | names ;;
  esac
}

declares_only_our_names() { ! declared | grep -v '^tokenpin_[a-z0-9_]*$'; }
exports_what_is_declared() { diff <(declared) <(defined "$1"); }
needs_only_allowed() {
  ! comm -13 <(tr ' ' '\n' <<<"$allowed" | LC_ALL=C sort) <(undefined "$1") | grep .
}
needs_only_libc() {
  [ "$(readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')" = libc.so.6 ]
}
is_called() { [ "$(readelf -dW "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')" = "$2" ]; }
binds_now() { readelf -dW "$1" | grep -E 'BIND_NOW|FLAGS_1.*NOW'; }
has_relro() { readelf -lW "$1" | grep GNU_RELRO; }
has_no_text_relocation() { ! readelf -dW "$1" | grep TEXTREL; }
has_a_plain_stack() {
  readelf -lW "$1" | grep GNU_STACK | grep 'RW ' && ! readelf -lW "$1" | grep RWE
}
exports_no_data() { ! nm --extern-only --defined-only "$1" | grep -E ' [BCDGRSVbdr] '; }

# A program that uses only one function, linked statically.
links_alone() {
  printf '#include <tokenpin.h>\nvoid (*volatile used)(void);\n%s\n' \
    "int main(void) { used = (void (*)(void))$1; return used == 0; }" >"$work/alone.c"
  "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$root/include" "$work/alone.c" \
    "$lib/libtokenpin.a" -o "$work/alone" && "$work/alone" &&
    ! nm "$work/alone" | grep panic_is_reachable && has_a_plain_stack "$work/alone"
}

is_tested() {
  cat tests/capi/no_alloc.c tests/capi/world.h | grep -w "$1" &&
    cat tests/capi/contract.c tests/capi/capi.c | grep -w "$1"
}

includes_in() {
  local compiler=$1 standard=$2 before=$3 after=$4
  printf '%s\n#include <tokenpin.h>\n#include <tokenpin.h>\n%s\n' "$before" "$after" |
    "$compiler" -x "${standard%%:*}" -std="${standard##*:}" -Wall -Wextra -Wpedantic -Wconversion \
      -Wshadow -Werror -I"$root/include" -fsyntax-only -
}

check_header() {
  local standard compiler stdlib
  for standard in c:c99 c:c11 c:c17 c:c2x c++:c++11 c++:c++14 c++:c++17 c++:c++20; do
    compiler=$cc stdlib='#include <stdlib.h>'
    if [ "${standard%%:*}" = c++ ]; then compiler=${CXX:-c++} stdlib='#include <cstdlib>'; fi
    expect yes "the header in ${standard##*:}" includes_in "$compiler" "$standard" '' ''
    expect yes "the header before stdlib in ${standard##*:}" \
      includes_in "$compiler" "$standard" '' "$stdlib"
    expect yes "the header behind stdlib in ${standard##*:}" \
      includes_in "$compiler" "$standard" "$stdlib" ''
  done
  expect no "a header that does not compile was not noticed" \
    includes_in "$cc" c:c11 'int tokenpin_jump;' ''
  expect yes "a status that is looked at" compiles 'return tokenpin_slot_init_vacant(0) != 0;'
  expect no "a status that is ignored was not noticed" compiles 'tokenpin_slot_init_vacant(0);'
}
compiles() {
  printf '#include "%s"\nint f(void);\nint f(void) { %s return 0; }\n' "$header" "$1" |
    "$cc" -std=c11 -Wall -Werror -x c -c - -o "$work/status.o"
}

check_libraries() {
  local static=$lib/libtokenpin.a shared=$lib/libtokenpin.so library function
  expect yes "the header declares functions" grep -q tokenpin_affinity_decide <(declared)
  expect yes "the header declares only tokenpin_*" declares_only_our_names
  for library in "$static" "$shared"; do
    expect yes "$library exports what is declared" exports_what_is_declared "$library"
    expect yes "$library needs only: $allowed" needs_only_allowed "$library"
    expect yes "$library exports no data" exports_no_data "$library"
  done
  expect yes "NEEDED" needs_only_libc "$shared"
  if [ -n "${SONAME:-}" ]; then
    expect yes "SONAME" is_called "$shared" "$SONAME"
    expect no "another SONAME was not noticed" is_called "$shared" "$SONAME.9"
  fi
  expect yes "BIND_NOW" binds_now "$shared"
  expect yes "RELRO" has_relro "$shared"
  expect yes "no TEXTREL" has_no_text_relocation "$shared"
  expect yes "no executable stack" has_a_plain_stack "$shared"
  while read -r function; do
    expect yes "a program with only $function" links_alone "$function"
    expect yes "$function is tested" is_tested "$function"
  done < <(declared)
}

# The library with a foreign part, which each check must notice.
check_that_checks_fail() {
  cat >"$work/foreign.c" <<'END'
#include <math.h>
#include <stdlib.h>
void *foreign_counter;
void *foreign_allocation(size_t size) { foreign_counter = calloc(size, 2); return foreign_counter; }
double foreign_root(double of) { return cbrt(of); }
END
  "$cc" -O1 -fPIC -c "$work/foreign.c" -o "$work/foreign.o"
  cp "$lib/libtokenpin.a" "$work/doctored.a"
  ar rcs "$work/doctored.a" "$work/foreign.o"
  "$cc" -shared -o "$work/doctored.so" -Wl,--whole-archive "$work/doctored.a" \
    -Wl,--no-whole-archive -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack -lm 2>"$work/output"
  local library
  for library in "$work/doctored.a" "$work/doctored.so"; do
    expect no "a foreign function was not noticed" exports_what_is_declared "$library"
    expect no "foreign data was not noticed" exports_no_data "$library"
    expect no "a foreign allocation was not noticed" needs_only_allowed "$library"
  done
  expect no "a second library was not noticed" needs_only_libc "$work/doctored.so"
  expect no "lazy binding was not noticed" binds_now "$work/doctored.so"
  expect no "a missing RELRO was not noticed" has_relro "$work/doctored.so"
  expect no "an executable stack was not noticed" has_a_plain_stack "$work/doctored.so"
  # A library without one of the functions.
  ar x --output "$work" "$lib/libtokenpin.a"
  objcopy --localize-symbol=tokenpin_jump "$work/tokenpin.o"
  ar rcs "$work/lacking.a" "$work/tokenpin.o"
  expect no "a missing function was not noticed" exports_what_is_declared "$work/lacking.a"
}

# The library with a function that can panic must fail to link, and say why.
planted_panic_does_not_link() {
  local log=$work/panic.log
  if "${MAKE:-make}" --no-print-directory -C "$root" lib BUILD="$planted" \
    RUSTC_FLAGS='--cfg tokenpin_planted_panic' >"$log" 2>&1; then
    echo "it linked"
    return 1
  fi
  grep tokenpin_error_a_panic_is_reachable "$log" || { cat "$log" && return 1; }
}
static_program_with_planted_panic_does_not_link() {
  printf '%s\n' 'unsigned char tokenpin_planted_panic(unsigned long);' \
    'int main(void) { return tokenpin_planted_panic(1); }' >"$work/planted.c"
  ! "$cc" "$work/planted.c" "$planted/lib/libtokenpin.a" -o "$work/planted" 2>"$work/link.log" &&
    grep tokenpin_error_a_panic_is_reachable "$work/link.log"
}
check_that_panics_do_not_link() {
  planted=$work/planted-build
  expect yes "a planted panic does not link" planted_panic_does_not_link
  # `make lib` makes the static library first: linking it is the step that must fail.
  expect yes "nor does a program with it" static_program_with_planted_panic_does_not_link
  expect no "the panic's symbol was not noticed" needs_only_allowed "$planted/lib/libtokenpin.a"
}

check_header
check_libraries
check_that_checks_fail
check_that_panics_do_not_link
sum_up
