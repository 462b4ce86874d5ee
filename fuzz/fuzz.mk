# Fuzzing with libFuzzer.

TESTS += fuzz-replay fuzz-smoke

FUZZ := $(BUILD)/fuzz
FUZZ_TARGETS := $(sort $(patsubst fuzz/%.rs,%,$(filter-out fuzz/lib.rs,$(wildcard fuzz/*.rs))))
# The run time of each target, and the targets.
FUZZ_SECONDS ?= 60
TARGET ?= $(FUZZ_TARGETS)

# The passes of cargo-fuzz, and AddressSanitizer, whose runtime comes with the toolchain. Only the
# switch that enables it is not stable yet; the variable permits it without a nightly toolchain.
FUZZ_FLAGS := -Zsanitizer=address -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-, \
  level=4 inline-8bit-counters pc-table trace-compares) --cfg fuzzing
FUZZ_CARGO = RUSTC_BOOTSTRAP=1 RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO)
FUZZ_WHERE = --quiet --locked --release --manifest-path fuzz/Cargo.toml --target-dir $(FUZZ)/cargo --target $(HOST)
FUZZ_RUN = fuzz/run.sh $(FUZZ)/cargo/$(HOST)/release $(FUZZ)

.PHONY: fuzz-build
fuzz-build:
	$(FUZZ_CARGO) build $(FUZZ_WHERE)

.PHONY: fuzz
fuzz: fuzz-build ## the fuzz targets, FUZZ_SECONDS=60 each; TARGET=name for one
	$(FUZZ_RUN) fuzz $(FUZZ_SECONDS) $(TARGET)

.PHONY: fuzz-smoke
fuzz-smoke: fuzz-build ## 20 seconds of each fuzz target
	$(FUZZ_RUN) fuzz 20 $(FUZZ_TARGETS)

.PHONY: fuzz-replay
fuzz-replay: fuzz-build ## the checked-in corpora, which must reach the whole C ABI
	$(FUZZ_RUN) replay 0 $(FUZZ_TARGETS)

.PHONY: fuzz-corpus
fuzz-corpus: fuzz-build ## fuzz/corpus: the smallest set that covers the findings
	$(FUZZ_RUN) corpus 0 $(TARGET)
