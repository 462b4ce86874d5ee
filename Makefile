# tokenpin. `make help` lists the targets.

CARGO ?= cargo
CC ?= cc
OBJCOPY ?= objcopy
PYTHON ?= python3

BUILD := build
LIB := $(BUILD)/lib
STATIC := $(LIB)/libtokenpin.a
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# While the major version is 0, every minor version may break the ABI.
SOVERSION := $(word 1,$(subst ., ,$(VERSION))).$(word 2,$(subst ., ,$(VERSION)))
SONAME := libtokenpin.so.$(SOVERSION)
SHARED := $(LIB)/libtokenpin.so.$(VERSION)

SOURCES := Cargo.toml Cargo.lock $(wildcard src/*.rs src/capi/*.rs)
ARCHIVE := $(BUILD)/cargo/release/libtokenpin.a
OBJECT := $(BUILD)/cargo/tokenpin.o
# Flags of the planted-panic check; empty for real builds.
RUSTC_FLAGS ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile

.PHONY: lib
lib: $(STATIC) $(SHARED) ## the static and the shared library, in build/lib

# The C artefacts contain no Rust runtime, and a panic handler that cannot be linked.
$(ARCHIVE): $(SOURCES)
	$(CARGO) rustc --quiet --locked --release --lib --features capi --crate-type staticlib \
	  --target-dir $(BUILD)/cargo -- --cfg tokenpin_artefact -C relocation-model=pic $(RUSTC_FLAGS)

# One object, in which every global symbol that is not ours has become local: so the
# static library can be linked beside other Rust libraries, whose runtimes define
# the same symbols. What nothing of ours reaches is dropped on the way.
$(OBJECT): $(ARCHIVE)
	$(CC) -r -nostdlib -o $@ -Wl,--gc-sections -Wl,--gc-keep-exported \
	  $$(nm --defined-only $(ARCHIVE) 2>/dev/null | sed -n 's/.* T \(tokenpin_.*\)/-Wl,-u,\1/p') $(ARCHIVE)
	$(OBJCOPY) --wildcard --keep-global-symbol='tokenpin_*' $@

$(STATIC): $(OBJECT)
	@mkdir -p $(LIB)
	rm -f $@
	ar rcsD $@ $(OBJECT)

# Every symbol must be found, which a reachable panic's is not.
$(SHARED): $(OBJECT) Makefile
	@mkdir -p $(LIB)
	printf '{ global: tokenpin_*; local: *; };\n' > $(BUILD)/tokenpin.map
	$(CC) -shared -nostdlib -o $@ $(OBJECT) -Wl,-soname,$(SONAME) -Wl,--version-script,$(BUILD)/tokenpin.map \
	  -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections -lc
	ln -sf $(notdir $(SHARED)) $(LIB)/$(SONAME)
	ln -sf $(SONAME) $(LIB)/libtokenpin.so
