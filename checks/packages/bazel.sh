#!/usr/bin/env bash
# The installed library, as Bazel finds it.
#
#   bazel.sh BUILD VERSION SONAME
#
# Uses MAKE from the environment, and Debian's Bazel 4, which root gets installed. Bazel itself
# downloads nothing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1 version=$2 soname=$3
unset DESTDIR PREFIX LIBDIR INCLUDEDIR LD_LIBRARY_PATH
cd "$root"

rules=/usr/share/bazel/rules why='programs are built with Bazel'
if ! { checks/need.sh bazel-4 bazel-bootstrap "$why" && checks/need.sh $rules/java bazel-rules-java "$why" &&
  checks/need.sh $rules/proto bazel-rules-proto "$why"; }; then
  echo "SKIPPED: this test needs what is missing above" >&2
  exit 0
fi

work=$(mktemp -d "$(cd "$build" && pwd)/bazel-test.XXXXXX")
# Bazel's copies have no write permission.
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
cp -r packaging/examples "$work/examples"

# This Bazel would download rules_cc, which only wraps the built-in rules.
mkdir -p "$work/rules_cc/cc"
touch "$work/rules_cc/WORKSPACE" "$work/rules_cc/cc/BUILD"
for rule in cc_binary cc_import cc_library cc_proto_library cc_test cc_toolchain cc_toolchain_suite \
  objc_library; do
  echo "$rule = native.$rule"
done >"$work/rules_cc/cc/defs.bzl"

"${MAKE:-make}" --no-print-directory install BUILD="$build" DESTDIR="$work/stage" \
  PREFIX=/usr LIBDIR=/usr/lib64 INCLUDEDIR=/usr/include/tokenpin >"$work/log"
mv "$work/stage/usr" "$work/moved"

run_bazel() { # what to build
  (cd "$work/examples" && bazel-4 --batch --output_user_root="$work/root" build --color=no \
    --override_repository=rules_cc="$work/rules_cc" \
    --override_repository=rules_java=$rules/java \
    --override_repository=rules_proto=$rules/proto \
    --override_repository=tokenpin="$work/moved/lib64/bazel/tokenpin" "$@" >"$work/log" 2>&1)
}

# shellcheck source=checks/expect.sh
source checks/expect.sh
builds() { run_bazel "$@" || { tail -n 20 "$work/log" && return 1; }; }
answers() { [ "$("$1")" = "tokenpin $version: bucket 984, slot 2" ]; }
needs() {
  [ -x "$1" ] && [ "$(readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(libtokenpin.*\)\]/\1/p')" = "$2" ]
}
expect_program() { # language, target, the library that it needs
  local program=$work/examples/bazel-bin/consumer-$1-$2
  expect yes "$1 with :$2 answers" answers "$program"
  expect yes "$1 with :$2 needs '$3'" needs "$program" "$3"
}

expect yes "the examples" builds //...
for language in c cpp; do
  expect_program "$language" static ''
  expect_program "$language" shared "$soname"
  # A cc_binary links statically if it can, unless the target says otherwise.
  expect_program "$language" tokenpin ''
done
expect yes "the examples, linked dynamically" builds --dynamic_mode=fully //...
expect_program c tokenpin "$soname"
expect_program c static ''
# Not the checkout's header, nor one of the system.
rm "$work/moved/include/tokenpin/tokenpin.h"
expect no "a missing header was not noticed" run_bazel //...

sum_up
