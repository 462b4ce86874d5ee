# tokenpin. `make help` lists the targets. common.mk describes how a folder adds its own.

.DEFAULT_GOAL := help
include common.mk
# The folders with fragments, four deep. The build folders are left out, because they may hold
# copies.
ROOMS := $(filter-out $(BUILD)/ build/ target/,$(wildcard */))
include $(foreach depth,*.mk */*.mk */*/*.mk */*/*/*.mk,$(sort $(wildcard $(addsuffix $(depth),$(ROOMS)))))

ALL_TESTS := $(sort $(FIRST)) $(sort $(TESTS))
ALL_CHECKS := $(sort $(CHECKS)) $(sort $(LAST))

# $(1) is a heading, $(2) are targets.
define help_group
	@printf '\n%s\n' '$(1)'
	@for target in $(2); do sed -n "s/^$$target:.*## /$$target	/p" $(MAKEFILE_LIST); done | \
	  awk -F '	' '{ printf "  %-28s %s\n", $$1, $$2 }'
endef
DOCUMENTED = $(shell sed -n 's/^\([a-z0-9-]*\):.*## .*/\1/p' $(MAKEFILE_LIST))
EVERY_DAY := help test check clean

.PHONY: help
help: ## this list
	@echo 'make TARGET'
	$(call help_group,every day,$(EVERY_DAY))
	$(call help_group,builds and installs,$(sort $(BUILDS)))
	$(call help_group,parts of make test,$(ALL_TESTS))
	$(call help_group,further parts of make check,$(ALL_CHECKS))
	$(call help_group,by hand,$(sort $(filter-out $(EVERY_DAY) $(BUILDS) $(ALL_TESTS) $(ALL_CHECKS),$(DOCUMENTED))))

# Lists the installs that may be needed. $(1) is test or check.
installs = sed -n 's/^\# make $(1) installs: /  /p' $(MAKEFILE_LIST) | sort -u

.PHONY: prerequisites
prerequisites:
	@checks/tools.sh

.PHONY: test
test: prerequisites ## all quick checks
	@echo 'make test installs what is missing of:'
	@$(call installs,test)
	$(call run,$(ALL_TESTS))

.PHONY: check
check: prerequisites ## make test, and the longer checks
	@echo 'make check installs what is missing of:'
	@$(call installs,test); $(call installs,check)
	$(call run,$(ALL_TESTS) $(ALL_CHECKS))

.PHONY: clean
clean: ## removes what was built
	rm -rf $(BUILD) target

BUILDS += lib wasm bindings header vectors
# make test installs: a target of Rust, for wasm

# Set these to build for another machine: its Rust target, its CC, AR, NM and OBJCOPY, and another
# BUILD.
RUST_TARGET ?=
ARCHIVE := $(BUILD)/cargo/$(addsuffix /,$(RUST_TARGET))release/libtokenpin.a
SMALL := $(BUILD)/cargo/small.symbols
OBJECT := $(BUILD)/cargo/tokenpin.o
# Flags of the planted-panic check; empty for real builds.
RUSTC_FLAGS ?=

.PHONY: lib
lib: $(STATIC) $(SHARED) ## the static and the shared library, in build/lib

# The C artefacts contain no Rust runtime, and a panic handler that cannot be linked. Loops stay as
# they are: unrolled and vectorised they take 3.5 KB more and no less time. In batches, where it
# matters, the steps are written out.
ARTEFACT := --cfg tokenpin_artefact -C no-vectorize-loops \
  $(addprefix -C llvm-args=-,unroll-threshold=20 unroll-runtime=0 force-attribute=optsize \
  inline-threshold=50 inlinehint-threshold=130 two-entry-phi-node-folding-threshold=1 \
  jump-threading-threshold=3 min-jump-table-entries=8 bonus-inst-threshold=0)

STATICLIB = $(CARGO) rustc --quiet --locked --release --lib --features capi --crate-type staticlib \
  $(addprefix --target ,$(RUST_TARGET)) --target-dir $(BUILD)/cargo -- $(ARTEFACT) \
  -C relocation-model=pic $(RUSTC_FLAGS)

# Everything is made small, except what fast.txt lists. LLVM knows a function by its symbol, and a
# symbol has a hash that only a build tells: so there are two.
$(SMALL): $(SOURCES) packaging/fast.txt packaging/listed.sh Makefile common.mk
	$(STATICLIB)
	NM='$(NM)' packaging/listed.sh --others packaging/fast.txt $(ARCHIVE) > $@.new
	mv $@.new $@

$(ARCHIVE): $(SMALL)
	@echo 'the same, with minsize for what $(SMALL) lists'
	@$(STATICLIB) -C llvm-args="$$(sed 's/.*/-force-attribute=&:minsize/' $(SMALL))"
	@touch $@  # cargo leaves the time of an earlier build

# One object, in which every global symbol that is not ours is local. So the static library can be
# linked with other Rust libraries, whose runtimes define the same symbols. Sections that our code
# does not reach are dropped, and so is the bitcode in some targets' standard libraries: an archiver
# with LLVM's plugin would read that instead of the object.
$(OBJECT): $(ARCHIVE) packaging/hot.sh packaging/hot.txt packaging/listed.sh
	$(CC) -r -nostdlib -o $@ -Wl,--gc-sections -Wl,--gc-keep-exported \
	  $$($(NM) --defined-only $(ARCHIVE) 2>/dev/null | sed -n 's/.* T \(tokenpin_.*\)/-Wl,-u,\1/p') $(ARCHIVE)
	NM='$(NM)' OBJCOPY='$(OBJCOPY)' packaging/hot.sh $@
	$(OBJCOPY) --wildcard --keep-global-symbol='tokenpin_*' --remove-section=.llvmbc --remove-section=.llvmcmd $@

$(STATIC): $(OBJECT)
	@mkdir -p $(LIB)
	rm -f $@
	$(AR) rcsD $@ $(OBJECT)

# Every symbol must be found, and that of a reachable panic is not. The unwind tables, a tenth of
# the size, are left out, because nothing unwinds here; the static library keeps them for profilers.
# Code and constants share one executable segment, which saves the padding between two.
$(SHARED): $(OBJECT) packaging/relro.ld Makefile common.mk
	@mkdir -p $(LIB)
	printf '{ global: tokenpin_*; local: *; };\n' > $(BUILD)/tokenpin.map
	$(OBJCOPY) --remove-section=.eh_frame --remove-section=.comment $(OBJECT) $(BUILD)/shared.o
	$(CC) -shared -nostdlib $(LDFLAGS) -o $@ $(BUILD)/shared.o -Wl,-z,noseparate-code -Wl,-soname,$(SONAME) \
	  -Wl,--version-script,$(BUILD)/tokenpin.map -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections \
	  -Wl,--no-ld-generated-unwind-info -Wl,-T,packaging/relro.ld -lc
	ln -sf $(notdir $(SHARED)) $(LIB)/$(SONAME)
	ln -sf $(SONAME) $(LIB)/libtokenpin.so

# For runtimes that take no native library: the whole C ABI, without an allocator. It imports
# `malloc` and `free`, which only `tokenpin_affinity_new` and `_free` call. A reachable panic would
# be an import too; tests check the list of imports. The stack lies below the data, so that an
# overflow traps.
.PHONY: wasm
wasm: $(WASM) ## the C ABI as WebAssembly, in build/wasm/core.wasm

$(WASM): $(SOURCES) Makefile common.mk
	rustup target add wasm32-unknown-unknown
	$(CARGO) rustc --quiet --locked --release --lib --features capi --crate-type cdylib --target wasm32-unknown-unknown \
	  --target-dir $(@D)/cargo -- $(ARTEFACT) -C strip=symbols -C link-arg=--compress-relocations \
	  -C link-arg=-zstack-size=131072 $(RUSTC_FLAGS)
	cp $(@D)/cargo/wasm32-unknown-unknown/release/tokenpin.wasm $@

.PHONY: bindings
bindings: ## include/, go/*_gen.go and the tables in docs/, from src; every manifest's version
	$(PYTHON) -B checks/lint/version.py --write
	TOKENPIN_WRITE_BINDINGS=1 $(CARGO) test --quiet --locked --features capi --test bindings

.PHONY: header
header: bindings ## include/tokenpin.h, with everything else of `make bindings`
