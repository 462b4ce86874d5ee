# Line and branch coverage of src/, by the Rust tests and by C and C++ programs.

CHECKS += coverage

COVERAGE := $(BUILD)/coverage
COVERAGE_FLAGS := "-Cinstrument-coverage","-Zcoverage-options=branch"
COMMA := ,
# Only our package is instrumented, not its dependencies.
COVERAGE_CARGO := $(CARGO) +$(NIGHTLY) test --locked --all-features --tests --target-dir $(COVERAGE)/target \
  -Zprofile-rustflags --config 'profile.dev.package.tokenpin.rustflags=[$(COVERAGE_FLAGS)]'
# The statistical tests reach nothing new, and take minutes under counters.
COVERAGE_SKIP := --skip balance::
COVERAGE_BIN = "$$(dirname "$$(rustc +$(NIGHTLY) --print target-libdir)")/bin"

# The library for C. With counters the optimiser cannot show that nothing panics, so the panics are
# linked: they crash.
COVERAGE_LIB := $(COVERAGE)/target/release/libtokenpin.a
$(COVERAGE_LIB): $(SOURCES)
	$(CARGO) +$(NIGHTLY) rustc --quiet --locked --release --lib --features capi --crate-type staticlib \
	  --target-dir $(COVERAGE)/target -- --cfg tokenpin_artefact -C relocation-model=pic \
	  $(subst $(COMMA), ,$(COVERAGE_FLAGS))
# The runtime of the counters is in no static library of ours.
COVERAGE_LINK = $(COVERAGE_LIB) "$$(rustc +$(NIGHTLY) --print target-libdir)"/libprofiler_builtins-*.rlib \
  -Wl,-u,__llvm_profile_runtime \
  -Wl,--defsym=tokenpin_error_a_panic_is_reachable=0 -o $@

COVERAGE_PROGRAMS := $(addprefix $(COVERAGE)/,contract capi hpp)
$(COVERAGE)/contract: $(CAPI_OUT)/contract.o $(COVERAGE_LIB)
	$(CC) $< $(COVERAGE_LINK)
$(COVERAGE)/capi: $(CAPI_OUT)/capi.o $(CAPI_OUT)/alloc.o $(COVERAGE_LIB)
	$(CC) $< $(CAPI_OUT)/alloc.o $(COVERAGE_LINK)
COVERAGE_HPP := $(addprefix $(HPP_OUT)/gcc-c++17-default/,hpp.o other.o header.o)
$(COVERAGE)/hpp: $(COVERAGE_HPP) $(COVERAGE_LIB)
	$(HPP_GCC) -pthread $(COVERAGE_HPP) $(COVERAGE_LINK)

# Only a nightly compiler measures branches.
.PHONY: coverage-nightly
coverage-nightly:
	checks/nightly.sh $(NIGHTLY) llvm-tools
$(COVERAGE_LIB): | coverage-nightly

.PHONY: coverage
coverage: coverage-nightly $(COVERAGE_PROGRAMS) ## line and branch coverage of src/, at least 99 %, with the gaps
	rm -rf $(COVERAGE)/profiles
	$(COVERAGE_CARGO) --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' > $(COVERAGE)/tests
	LLVM_PROFILE_FILE=$(abspath $(COVERAGE))/profiles/%m-%p.profraw $(COVERAGE_CARGO) --quiet -- $(COVERAGE_SKIP)
	LLVM_PROFILE_FILE=$(abspath $(COVERAGE))/profiles/%m-%p.profraw tests/support/run.sh \
	  $(foreach program,$(COVERAGE_PROGRAMS), \
	  '$(strip $(program) $(CAPI_ARGS_$(notdir $(program))))')
	$(COVERAGE_BIN)/llvm-profdata merge -sparse $(COVERAGE)/profiles/*.profraw -o $(COVERAGE)/profile
	$(PYTHON) -B checks/coverage/coverage.py --llvm-cov $(COVERAGE_BIN)/llvm-cov --profile $(COVERAGE)/profile \
	  $$(cat $(COVERAGE)/tests) $(COVERAGE_PROGRAMS)
