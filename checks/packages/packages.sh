#!/usr/bin/env bash
# The installed library, as programs in C and C++ find it, and proof that these checks can fail.
#
#   packages.sh BUILD VERSION SONAME
#
# Uses CC, CXX and MAKE from the environment.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1 version=$2 soname=$3
soversion=${soname#libtokenpin.so.}
export CC=${CC:-cc} CXX=${CXX:-c++}
unset DESTDIR PREFIX LIBDIR INCLUDEDIR LD_LIBRARY_PATH
cd "$root"
for tool in cmake pkg-config; do
  command -v $tool >/dev/null || { echo "packages.sh: needs $tool" >&2 && exit 1; }
done
# With a space, which some folders have. The installed files never see the checkout.
work=$(mktemp -d "$(cd "$build" && pwd)/packages test.XXXXXX")
other_build=$build/packages-version
trap 'rm -rf "$work" "$other_build"' EXIT
cp -r packaging/examples "$work/examples"

# The first number is published (tests/vectors/jump_rust_jmphash.csv), the second is the Python
# twin's.
answer="tokenpin $version: bucket 984, slot 2"
warnings=(-Wall -Wextra -Wpedantic -Werror)
# shellcheck source=checks/expect.sh
source checks/expect.sh

make_in() { "${MAKE:-make}" --no-print-directory -C "$root" "$@"; }

# Lists the files that `make install` writes. The arguments are folders below the prefix.
expected_files() {
  local lib=$1 include=$2 header to_include
  to_include=$(realpath -sm --relative-to="/$lib/bazel/tokenpin/include" "/$include")
  echo "-rw-r--r-- $include/tokenpin.ffi "
  for header in include/*.h*; do
    echo "-rw-r--r-- $include/${header##*/} "
    echo "lrwxrwxrwx $lib/bazel/tokenpin/include/${header##*/} $to_include/${header##*/}"
  done
  cat <<END
-rw-r--r-- $lib/libtokenpin.a 
-rwxr-xr-x $lib/libtokenpin.so.$version 
lrwxrwxrwx $lib/$soname libtokenpin.so.$version
lrwxrwxrwx $lib/libtokenpin.so $soname
-rw-r--r-- $lib/pkgconfig/tokenpin.pc 
-rw-r--r-- $lib/cmake/tokenpin/tokenpin-config.cmake 
-rw-r--r-- $lib/cmake/tokenpin/tokenpin-config-version.cmake 
-rw-r--r-- $lib/bazel/tokenpin/BUILD.bazel 
-rw-r--r-- $lib/bazel/tokenpin/MODULE.bazel 
-rw-r--r-- $lib/bazel/tokenpin/WORKSPACE 
lrwxrwxrwx $lib/bazel/tokenpin/lib/libtokenpin.a ../../../libtokenpin.a
lrwxrwxrwx $lib/bazel/tokenpin/lib/$soname ../../../$soname
-rw-r--r-- share/doc/tokenpin/LICENSE-APACHE 
-rw-r--r-- share/doc/tokenpin/LICENSE-MIT 
-rw-r--r-- share/doc/tokenpin/LICENSE-THIRD-PARTY 
END
}
has_the_files() { # prefix, folders
  diff <(expected_files "$2" "$3" | sort) <(cd "$1" && find . ! -type d -printf '%M %P %l\n' | sort)
}
has_folders_for_all() { ! find "$1" -type d ! -perm 755 | grep .; }
has_no_dead_link() { ! find "$1" -xtype l | grep .; }
names_nothing_outside() { # the tree must not know where it was made
  ! grep -rIF -e "$work" -e "$root" -e "$2" "$1/$3/pkgconfig" "$1/$3/cmake" "$1/$3/bazel"
}
names_no_version_of_today() { ! grep -rnwF "$soversion" "$1"/pkgconfig "$1"/cmake "$1"/bazel; }

answers() { [ "$("$@")" = "$answer" ]; }
linked() { readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(libtokenpin.*\)\]/\1/p'; }
is_shared() { [ "$(linked "$1")" = "$soname" ]; }
is_static() { [ -z "$(linked "$1")" ] && nm "$1" | grep ' T tokenpin_jump$'; }

compile() { # language, program, flags
  local language=$1 program=$2 compiler=$CC standard=c11
  shift 2
  if [ "$language" = cpp ]; then compiler=$CXX standard=c++17; fi
  "$compiler" -std="$standard" "${warnings[@]}" "$work/examples/consumer.$language" "$@" -o "$program"
}
pkg_config() { # libdir, arguments
  PKG_CONFIG_LIBDIR=$1/pkgconfig pkg-config "${@:2}" tokenpin
}
by_pkg_config() { # language, shared|static, libdir
  local language=$1 kind=$2 libdir=$3 words flags program=$work/program
  case $kind in
  shared)
    words=$(pkg_config "$libdir" --cflags --libs) && eval "flags=($words)" &&
      compile "$language" "$program" "${flags[@]}" && is_shared "$program" &&
      ! "$program" && LD_LIBRARY_PATH=$libdir answers "$program"
    ;;
  static)
    words=$(pkg_config "$libdir" --static --cflags --libs) && eval "flags=($words)" &&
      compile "$language" "$program" -static "${flags[@]}" && is_static "$program" &&
      answers "$program"
    ;;
  esac
}
headers_stand_alone() { # libdir; C headers in both languages
  local header words flags
  words=$(pkg_config "$1" --cflags) && eval "flags=($words)"
  for header in include/*.h*; do
    header=${header##*/}
    echo "#include <$header>" >"$work/header.cpp"
    "$CXX" -std=c++17 "${warnings[@]}" "${flags[@]}" -fsyntax-only "$work/header.cpp" || return 1
    case $header in
    *.h) "$CC" -x c -std=c11 "${warnings[@]}" "${flags[@]}" -fsyntax-only "$work/header.cpp" || return 1 ;;
    esac
  done
}
is_the_version() { [ "$(pkg_config "$1" --modversion)" = "$2" ]; }

cmake_build() { # folder, definitions
  rm -rf "${work:?}/$1"
  cmake -S "$work/examples" -B "$work/$1" -DCMAKE_C_FLAGS="${warnings[*]}" \
    -DCMAKE_CXX_FLAGS="${warnings[*]}" "${@:2}" && cmake --build "$work/$1"
}
check_cmake_programs() { # folder, what tokenpin::tokenpin is
  local language target kind
  for language in c cpp; do
    for target in tokenpin shared static; do
      kind=$target
      if [ "$target" = tokenpin ]; then kind=$2; fi
      expect yes "tokenpin::$target is $kind" "is_$kind" "$work/$1/consumer-$language-$target"
      expect yes "the answer with tokenpin::$target" \
        answers "$work/$1/consumer-$language-$target"
    done
  done
}

# finds LIBDIR ARGUMENTS [POINTER_SIZE]: whether find_package succeeds.
finds() {
  rm -rf "$work/ask"
  mkdir "$work/ask"
  cat >"$work/ask/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.19)
project(ask LANGUAGES NONE)
set_property(GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS TRUE)
set(CMAKE_SIZEOF_VOID_P ${POINTER_SIZE})
find_package(tokenpin ${ASK} REQUIRED)
END
  cmake -S "$work/ask" -B "$work/ask/build" -Dtokenpin_DIR="$1/cmake/tokenpin" -DASK="$2" \
    -DPOINTER_SIZE="${3:-}"
}

check_layout() { # folder of the stage, prefix, folders for libraries and headers, definitions
  local stage=$work/$1 prefix=$2 lib=$3 include=$4 moved="$work/moved $1" language kind
  shift 4
  expect yes "$prefix, $lib: has the files" has_the_files "$stage$prefix" "$lib" "$include"
  expect yes "$prefix, $lib: folders for all" has_folders_for_all "$stage"
  mv "$stage$prefix" "$moved"
  expect yes "$lib: no dead link" has_no_dead_link "$moved"
  expect yes "$lib: knows no place" names_nothing_outside "$moved" "$prefix" "$lib"
  expect yes "$lib: --modversion" is_the_version "$moved/$lib" "$version"
  expect yes "$lib: each header" headers_stand_alone "$moved/$lib"
  for language in c cpp; do
    for kind in shared static; do
      expect yes "$lib: $language, $kind, by pkg-config" \
        by_pkg_config "$language" "$kind" "$moved/$lib"
    done
  done
  expect yes "$lib: by CMake" cmake_build cmake "${@/#-Dtokenpin_DIR=/-Dtokenpin_DIR=$moved/}" \
    -DCMAKE_PREFIX_PATH="$moved"
  check_cmake_programs cmake shared
}

check_layouts() {
  (umask 077 && make_in install BUILD="$build" DESTDIR="$work/default") >"$work/log"
  check_layout default /usr/local lib include
  make_in install BUILD="$build" DESTDIR="$work/fedora" PREFIX=/usr LIBDIR=/usr/lib64 >"$work/log"
  check_layout fedora /usr lib64 include -Dtokenpin_DIR=lib64/cmake/tokenpin
  make_in install BUILD="$build" DESTDIR="$work/debian" PREFIX=/opt/t \
    LIBDIR=/opt/t/lib/x86_64-linux-gnu INCLUDEDIR=/opt/t/include/tokenpin >"$work/log"
  check_layout debian /opt/t lib/x86_64-linux-gnu include/tokenpin \
    -Dtokenpin_DIR=lib/x86_64-linux-gnu/cmake/tokenpin
  # Into a folder, without DESTDIR, twice.
  make_in install BUILD="$build" PREFIX="$work/home" >"$work/log"
  make_in install BUILD="$build" PREFIX="$work/home" >"$work/log"
  expect yes "a prefix of one's own" has_the_files "$work/home" lib include
  expect yes "a prefix of one's own is not written down" names_nothing_outside "$work/home" "$work" lib
  expect no "a relative prefix" make_in install BUILD="$build" PREFIX=home
  expect no "a relative folder for libraries" \
    make_in install BUILD="$build" DESTDIR="$work/relative" LIBDIR=lib
}

check_choices() {
  local libdir="$work/moved default/lib" lacking
  expect yes "BUILD_SHARED_LIBS=OFF" \
    cmake_build off -DCMAKE_PREFIX_PATH="$work/moved default" -DBUILD_SHARED_LIBS=OFF
  check_cmake_programs off static
  expect yes "component shared" finds "$libdir" 'COMPONENTS;shared'
  expect yes "components" finds "$libdir" "$soversion;COMPONENTS;shared;static"
  expect no "an unknown component" finds "$libdir" 'COMPONENTS;fast'
  # Distributors like to leave one of the two out.
  for lacking in a "so*"; do
    rm -rf "$work/lacking"
    cp -a "$work/moved default" "$work/lacking"
    find "$work/lacking/lib" -maxdepth 1 -name "libtokenpin.$lacking" -delete
    expect yes "without libtokenpin.$lacking" finds "$work/lacking/lib" ''
    expect no "without libtokenpin.$lacking, its component" \
      finds "$work/lacking/lib" 'COMPONENTS;shared;static'
  done
  rm -f "$work/lacking/lib/libtokenpin.a"
  expect no "without a library" finds "$work/lacking/lib" ''
}

check_versions() {
  local libdir="$work/moved default/lib" major minor patch
  IFS=. read -r major minor patch <<<"$version"
  local next=$major.$((minor + 1)) later=$major.$minor.$((patch + 1))
  expect yes "any version" finds "$libdir" ''
  expect yes "$soversion" finds "$libdir" "$soversion"
  expect yes "$version" finds "$libdir" "$version"
  expect yes "exactly $version" finds "$libdir" "$version;EXACT"
  expect no "a later patch" finds "$libdir" "$later"
  expect no "exactly a later patch" finds "$libdir" "$later;EXACT"
  expect no "the next minor version" finds "$libdir" "$next"
  expect no "the next major version" finds "$libdir" "$((major + 1)).0"
  expect no "only a major version" finds "$libdir" "$major"
  expect yes "a range that begins here" finds "$libdir" "$soversion...$next"
  expect yes "a range that ends here" finds "$libdir" "0...$version"
  expect no "a range that ends before this" finds "$libdir" "0...<$version"
  expect no "a range that begins behind this" finds "$libdir" "$later...$next"
  local bits
  bits=$(getconf LONG_BIT)
  expect yes "for pointers of this size" finds "$libdir" '' $((bits / 8))
  expect no "for pointers of another size" finds "$libdir" '' $((12 - bits / 8))
}

# Links the static library as various linkers and compilers do.
links_with() { # compiler, flags
  "$1" -std=c11 "${warnings[@]}" -I"$work/moved default/include" "$work/examples/consumer.c" "${@:2}" \
    -o "$work/program" && is_static "$work/program" && answers "$work/program"
}
check_static() {
  local archive="$work/moved default/lib/libtokenpin.a"
  expect yes "--whole-archive" links_with "$CC" -Wl,--whole-archive "$archive" -Wl,--no-whole-archive
  expect yes "a program with LTO" links_with "$CC" -O2 -flto "$archive"
  expect yes "a static PIE" links_with "$CC" -static-pie "$archive"
  if command -v musl-gcc >/dev/null; then
    expect yes "musl" links_with musl-gcc -static "$archive"
  else
    echo "SKIPPED: a program with musl, for there is no musl-gcc" >&2
  fi
}

check_uninstall() {
  mkdir -p "$work/home/lib/cmake/neighbour"
  touch "$work/home/lib/cmake/neighbour/file" "$work/home/lib/libneighbour.a"
  expect yes "uninstall" make_in uninstall BUILD="$build" PREFIX="$work/home"
  expect yes "uninstall leaves what is not ours, and only that" diff - \
    <(cd "$work/home" && find . ! -type d | sort) <<<$'./lib/cmake/neighbour/file\n./lib/libneighbour.a'
  expect yes "uninstall leaves no folder of ours" \
    test -z "$(find "$work/home" -depth -name tokenpin)"
  expect yes "uninstall of nothing" make_in uninstall BUILD="$build" PREFIX="$work/home"
}

# With another version in the Makefile's variable, no file may mention the current one.
check_one_source() {
  expect no "the version is written down in packaging/" grep -rnF "$version" packaging
  mkdir -p "$other_build/cargo/release"
  cp -p "$build/cargo/release/libtokenpin.a" "$other_build/cargo/release"
  cp -p "$build/cargo/tokenpin.o" "$other_build/cargo"
  expect yes "another version" \
    make_in install BUILD="$other_build" VERSION=7.8.9 DESTDIR="$work/other" PREFIX=/p
  local libdir=$work/other/p/lib
  expect yes "another version, nothing of today's" names_no_version_of_today "$libdir"
  expect yes "another version, the file" test -f "$libdir/libtokenpin.so.7.8.9"
  expect yes "another version, pkg-config" is_the_version "$libdir" 7.8.9
  expect yes "another version, CMake" finds "$libdir" '7.8.9;EXACT'
  expect yes "another version, its minor" finds "$libdir" 7.8
  expect no "another version, the minor version before" finds "$libdir" 7.7
  expect no "another version, today's" finds "$libdir" "$soversion"
  expect yes "another version, Bazel" grep -F 'version = "7.8.9"' "$libdir/bazel/tokenpin/MODULE.bazel"
  expect no "another SONAME was not noticed" by_pkg_config c shared "$libdir"
}

# Trees with a defect, which the checks must notice.
check_that_checks_fail() {
  local tree=$work/doctored
  cp -a "$work/moved default" "$tree"
  expect yes "a copy" by_pkg_config c shared "$tree/lib"
  sed -i 's|^prefix=.*|prefix=/usr/local|' "$tree/lib/pkgconfig/tokenpin.pc"
  expect no "an absolute path was not noticed" names_nothing_outside "$tree" /usr/local lib
  expect no "a tree that cannot be moved was not noticed" by_pkg_config c shared "$tree/lib"
  chmod 600 "$tree/include/tokenpin.h"
  expect no "a mode was not noticed" has_the_files "$tree" lib include
  rm "$tree/lib/libtokenpin.a"
  expect no "a dead link was not noticed" has_no_dead_link "$tree"
  expect no "a shared library was taken for a static one" is_static "$work/cmake/consumer-c-shared"
  expect no "a static library was taken for a shared one" is_shared "$work/cmake/consumer-c-static"
}

check_layouts
check_choices
check_versions
check_static
check_uninstall
check_one_source
check_that_checks_fail
sum_up
