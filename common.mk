# Shared by the fragments. The Makefile includes this first, then every fragment that it finds: the
# file `x.mk` of a folder `x`, a folder's before those of the folders in it.
#
# In the names of targets and prerequisites a fragment may use this file's variables, its own, and
# those of the folders above it. In recipes it may use all variables.
#
# A new fragment only registers its targets:
#   BUILDS += x    makes something that is used: a heading of `make help`
#   TESTS += x     `make test` and `make check` run it
#   CHECKS += x    `make check` runs it
# Targets in FIRST run before all tests, and those in LAST after all checks. Each list is sorted.
# A comment `# make test installs: ...` (or check) is printed before anything runs.

CARGO ?= cargo
CC ?= cc
CXX ?= c++
NM ?= nm
OBJCOPY ?= objcopy
PYTHON ?= python3
# The tools that a few checks need in addition to the compiler, and the target of this machine.
NIGHTLY ?= nightly
VALGRIND ?= valgrind
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

# For scripts. A recipe that names it would also be run by `make -n`.
export MAKE

BUILD := build
LIB := $(BUILD)/lib
STATIC := $(LIB)/libtokenpin.a
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# While the major version is 0, every minor version may break the ABI.
SOVERSION := $(word 1,$(subst ., ,$(VERSION))).$(word 2,$(subst ., ,$(VERSION)))
SONAME := libtokenpin.so.$(SOVERSION)
SHARED := $(LIB)/libtokenpin.so.$(VERSION)
WASM := $(BUILD)/wasm/core.wasm
SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')

# A package of Rust outside the library, in a folder of the build folder in which the library is
# below it. Otherwise Cargo hashes the library's path into the names of symbols, and another
# checkout gives another file. $(1) is the package, $(2) the folder, $(3) its other contents.
define rust_package
	rm -rf $(2) && mkdir -p $(2)
	sed -e 's|path = "../.."|path = "tokenpin"|' -e 's|^\[workspace\]$$|&\nexclude = ["tokenpin"]|' \
	  $(1)/Cargo.toml > $(2)/Cargo.toml
	cp -rp $(addprefix $(1)/,Cargo.lock $(3)) $(wildcard LICENSE-*) $(2)
	ln -s '$(CURDIR)' $(2)/tokenpin
endef
# Nor does a file say where its builder keeps the sources of crates.
CARGO_HOME ?= $(HOME)/.cargo
REMAPPED := --remap-path-prefix=$(CARGO_HOME)/registry/src=/crates

# The tests that need few dependencies: Miri and build-std compile all of them again.
MACHINE := --locked --manifest-path checks/machine/Cargo.toml

# The programs of tests/capi and tests/hpp, which several tools watch.
CAPI := tests/capi
CAPI_OUT := $(BUILD)/capi
# Without those that bring their own allocator or runtime.
CAPI_SANITIZED := layout contract capi ids decisions
CAPI_CFLAGS := -std=c11 -fno-builtin -O1 -g -Wall -Wextra -Wpedantic -Werror -Iinclude
CAPI_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CAPI_HEADERS := include/tokenpin.h $(wildcard $(CAPI)/*.h) $(CAPI)/capi.mk
HPP_OUT := $(BUILD)/hpp
hpp_programs = $(1)/hpp $(1)/system

# Runs targets one after another, and prints the seconds of each.
define run
	@for target in $(1); do echo "== $$target"; start=$$(date +%s); \
	  $(MAKE) --no-print-directory $$target || exit 1; \
	  echo "== $$target: $$(($$(date +%s) - start)) s"; done
endef
