# The dependencies, and the tools that build the library.

TESTS += supply
CHECKS += msrv minimal-versions
# make check installs: the oldest Rust that Cargo.toml promises, for msrv

.PHONY: supply
supply: ## dependencies: pinned, listed with a reason, under licences that are allowed
	$(PYTHON) -B checks/supply/supply.py
	$(PYTHON) -B checks/supply/notices.py
	@set -e; for module in $(GO_MODULES); do (cd $$module && $(GO) mod download && $(GO) mod verify); done

# $(1) is the folder of sources, $(2) the results: the libraries, and C's answers to the vectors.
SUPPLY_BUILD = $(MAKE) --no-print-directory -C $(1) BUILD='$(abspath $(2))' CARGO='$(3)' \
  '$(abspath $(2))/capi/capi-static' > /dev/null && cd $(1) && $(abspath $(2))/capi/capi-static tests/vectors $(VERSION)

MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: msrv
msrv: ## the oldest Rust that Cargo.toml promises: the crates, the C libraries, and their tests in C
	rustup toolchain list | grep -q '^$(MSRV)-' || rustup toolchain install --profile minimal --no-self-update $(MSRV)
	@mkdir -p $(BUILD)
	echo 'pub fn f() {}' | rustc +$(MSRV) --edition 2024 --crate-type lib --emit metadata -o $(BUILD)/msrv.rmeta -
	@echo 'it is that one, and not a newer one:'
	! echo 'pub fn f(x: Option<u8>) -> bool { if let Some(1) = x && true { true } else { false } }' | \
	  rustc +$(MSRV) --edition 2024 --crate-type lib --emit metadata -o $(BUILD)/msrv.rmeta - 2> /dev/null
	$(CARGO) +$(MSRV) check --quiet --locked --lib --target-dir $(BUILD)/msrv/cargo
	$(CARGO) +$(MSRV) check $(TOWER_CARGO) --lib
	$(call SUPPLY_BUILD,.,$(BUILD)/msrv,$(CARGO) +$(MSRV))

# Only a nightly can lock the least versions; they are built with the usual toolchain.
MINIMAL := $(BUILD)/minimal
.PHONY: minimal-versions
minimal-versions: ## the oldest dependencies that Cargo.toml allows: the same as for msrv
	checks/nightly.sh $(NIGHTLY)
	rm -rf $(MINIMAL)/source && mkdir -p $(MINIMAL)/source
	git ls-files -z | xargs -0 cp --no-dereference --parents -t $(MINIMAL)/source
	cd $(MINIMAL)/source && $(CARGO) +$(NIGHTLY) update --quiet -Z direct-minimal-versions
	$(PYTHON) -B checks/supply/supply.py --minimal $(MINIMAL)/source
	$(call SUPPLY_BUILD,$(MINIMAL)/source,$(MINIMAL)/built,$(CARGO))
