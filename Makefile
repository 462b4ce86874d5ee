# tokenpin. `make help` lists the targets.

CARGO ?= cargo
CC ?= cc
NM ?= nm
OBJCOPY ?= objcopy
PYTHON ?= python3
# What a few checks need beside the compiler in use, and the machine that this is.
NIGHTLY ?= nightly
VALGRIND ?= valgrind
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

BUILD := build
LIB := $(BUILD)/lib
STATIC := $(LIB)/libtokenpin.a
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# While the major version is 0, every minor version may break the ABI.
SOVERSION := $(word 1,$(subst ., ,$(VERSION))).$(word 2,$(subst ., ,$(VERSION)))
SONAME := libtokenpin.so.$(SOVERSION)
SHARED := $(LIB)/libtokenpin.so.$(VERSION)

SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
# To build for another machine: its Rust target, with its CC, AR, NM and OBJCOPY, and a BUILD of its own.
RUST_TARGET ?=
ARCHIVE := $(BUILD)/cargo/$(addsuffix /,$(RUST_TARGET))release/libtokenpin.a
OBJECT := $(BUILD)/cargo/tokenpin.o
# Flags of the planted-panic check; empty for real builds.
RUSTC_FLAGS ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST)

.PHONY: lib
lib: $(STATIC) $(SHARED) ## the static and the shared library, in build/lib

# The C artefacts contain no Rust runtime, and a panic handler that cannot be linked. Loops are
# left as they are: unrolled and made of vector instructions they take 3.5 KB more, and no less time. Where it
# does matter, in batches, the steps are written out.
$(ARCHIVE): $(SOURCES)
	$(CARGO) rustc --quiet --locked --release --lib --features capi --crate-type staticlib \
	  $(addprefix --target ,$(RUST_TARGET)) --target-dir $(BUILD)/cargo -- --cfg tokenpin_artefact -C relocation-model=pic \
	  -C llvm-args=-unroll-threshold=20 -C llvm-args=-unroll-runtime=0 -C no-vectorize-loops $(RUSTC_FLAGS)

# One object, in which every global symbol that is not ours has become local: so the
# static library can be linked beside other Rust libraries, whose runtimes define
# the same symbols. What nothing of ours reaches is dropped on the way, and the bitcode that some
# targets' standard libraries carry: an archiver with LLVM's plugin would take the object for it.
$(OBJECT): $(ARCHIVE)
	$(CC) -r -nostdlib -o $@ -Wl,--gc-sections -Wl,--gc-keep-exported \
	  $$($(NM) --defined-only $(ARCHIVE) 2>/dev/null | sed -n 's/.* T \(tokenpin_.*\)/-Wl,-u,\1/p') $(ARCHIVE)
	$(OBJCOPY) --wildcard --keep-global-symbol='tokenpin_*' --remove-section=.llvmbc --remove-section=.llvmcmd $@

$(STATIC): $(OBJECT)
	@mkdir -p $(LIB)
	rm -f $@
	$(AR) rcsD $@ $(OBJECT)

# Every symbol must be found, which a reachable panic's is not. Without unwind tables, a tenth
# of the size, because nothing unwinds here (the static library keeps them, for profilers), and
# in one executable segment for code and constants, which saves the space between two.
$(SHARED): $(OBJECT) Makefile
	@mkdir -p $(LIB)
	printf '{ global: tokenpin_*; local: *; };\n' > $(BUILD)/tokenpin.map
	$(OBJCOPY) --remove-section=.eh_frame $(OBJECT) $(BUILD)/shared.o
	$(CC) -shared -nostdlib $(LDFLAGS) -o $@ $(BUILD)/shared.o -Wl,-z,noseparate-code -Wl,-soname,$(SONAME) -Wl,--version-script,$(BUILD)/tokenpin.map \
	  -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections -lc
	ln -sf $(notdir $(SHARED)) $(LIB)/$(SONAME)
	ln -sf $(SONAME) $(LIB)/libtokenpin.so

.PHONY: header
header: ## include/tokenpin.h, from src/capi
	TOKENPIN_WRITE_HEADER=1 $(CARGO) test --quiet --locked --test header

.PHONY: vectors
vectors: ## tests/vectors/*_v1.json, the worked examples and figures in docs/, from the code
	TOKENPIN_WRITE_VECTORS=1 $(CARGO) test --quiet --locked --test vectors --test docs --test operations

include gateways/envoy/envoy.mk
include gateways/envoy/tests/unit/unit.mk
include gateways/envoy/tests/e2e/e2e.mk
include gateways/envoy/tests/soak/soak.mk

# What other languages and tools say of the same code.
include tests/capi/tests.mk
include tests/hpp/tests.mk
include tests/abi/abi.mk
include tests/supply/supply.mk
include packaging/install.mk
include tests/instructions/instructions.mk
include tests/forgery/forgery.mk
include tests/constant_time/constant_time.mk
include benches/bench.mk
include fuzz/fuzz.mk
include tests/memory/memory.mk
include tests/portability/portability.mk
include tests/mutants/mutants.mk
include tests/coverage/coverage.mk

.PHONY: lint
lint: tools ## formatting and lints, warnings denied
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path benches/Cargo.toml
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --quiet --locked --all-targets -- -D warnings
	$(CARGO) clippy --quiet --locked --all-targets --features capi -- -D warnings
	$(FUZZ_CARGO) clippy $(FUZZ_WHERE) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --no-deps --features capi
	$(BUILD)/tools/bin/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.cc' '*.cpp' '*.h' '*.hpp' ':!include/tokenpin.h')
	$(BUILD)/tools/bin/ruff check --quiet benches gateways tests
	$(BUILD)/tools/bin/shellcheck $$(git ls-files '*.sh' .ci/run)

TOOLS := $(BUILD)/tools/installed
.PHONY: tools
tools: $(TOOLS)
$(TOOLS): tests/requirements.txt
	$(PYTHON) -m venv $(BUILD)/tools
	$(BUILD)/tools/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

.PHONY: unit
unit: ## the Rust tests, with and without the C ABI
	$(CARGO) test --locked
	$(CARGO) test --locked --features capi --lib --test no_alloc --test c_abi

.PHONY: no-std
no-std: ## builds for bare metal and for WebAssembly
	tests/no_std.sh $(BUILD)

.PHONY: readme
readme: lib go-lib ## the examples of README.md and docs/embedding.md
	tests/examples.sh $(BUILD) README.md docs/embedding.md

.PHONY: twin
twin: lib ## the Python implementation against the vectors and the shared library
	$(PYTHON) -B tests/twin/test_twin.py --library $(SHARED)

# The Go module.
include go/go.mk

# One after another, each with its seconds.
TESTS := lint unit capi-test abi supply hpp-test constant-time packages-test no-std readme twin envoy-unit e2e-smoke demo-smoke go-test go-envoy fuzz-replay fuzz-smoke
CHECKS := $(TESTS) msrv minimal-versions bench-instructions bench-check jump-exhaustive forgery capi-sanitize hpp-sanitize envoy-unit-tsan bazel-test go-check e2e demo coverage capi-valgrind rust-asan threads portability soak miri

define run
	@for target in $(1); do echo "== $$target"; start=$$(date +%s); \
	  $(MAKE) --no-print-directory $$target || exit 1; \
	  echo "== $$target: $$(($$(date +%s) - start)) s"; done
endef

.PHONY: test
test: ## everything that is quick to check
	$(call run,$(TESTS))

.PHONY: check
check: ## make test, and what takes longer
	$(call run,$(CHECKS))

.PHONY: clean
clean: ## removes what was built
	rm -rf $(BUILD) target
