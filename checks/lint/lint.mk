# Formatters and linters.

FIRST += lint
# make test installs: formatters and linters, by pip into build/tools

TOOLS := $(BUILD)/tools/installed
.PHONY: tools
tools: $(TOOLS)
$(TOOLS): checks/lint/requirements.txt
	@echo 'installing $< into $(@D) (once)'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: lint
lint: tools ## formatting and lints, warnings denied; one version everywhere
	$(PYTHON) -B checks/lint/version.py
	@set -e; for package in $$(git ls-files '*Cargo.toml'); do $(CARGO) fmt --check --manifest-path $$package; done
	$(CARGO) clippy --quiet --locked --workspace --all-targets --features alloc -- -D warnings
	$(CARGO) clippy --quiet --locked --all-targets --features capi -- -D warnings
	$(FUZZ_CARGO) clippy $(FUZZ_WHERE) -- -D warnings
	$(CARGO) clippy --quiet --locked --all-targets --manifest-path $(MEMORY)/loom/Cargo.toml \
	  --target-dir $(MEMORY_OUT)/loom -- -D warnings
	$(CARGO) clippy $(TOWER_CARGO) --all-targets -- -D warnings
	"$$MAKE" --no-print-directory wasm-target
	$(CARGO) clippy $(WASM_CARGO) -- -D warnings
	$(CARGO) clippy $(PY_CARGO) -- -D warnings
	rm -rf target/doc/tokenpin
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --no-deps --all-features --target-dir target
	$(PYTHON) -B checks/lint/doc_links.py target/doc/tokenpin
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(TOWER_CARGO) --no-deps
	$(BUILD)/tools/bin/clang-format --dry-run --Werror \
	  $$(git ls-files '*.c' '*.cc' '*.cpp' '*.h' '*.hpp' ':!include/tokenpin.h')
	$(MAKE) --no-print-directory jvm-lint
	$(BUILD)/tools/bin/ruff format --quiet --check $$(git ls-files '*.py')
	$(BUILD)/tools/bin/ruff check --quiet $$(git ls-files '*.py')
	$(PYTHON) -B benches/picture.py --check docs/request.svg
	checks/need.sh luacheck lua-check 'lint runs it'
	luacheck --quiet --no-color --config $(NGINX)/.luacheckrc $$(git ls-files '*.lua')
	$(MAKE) --no-print-directory js-lint
	@"$$MAKE" --no-print-directory words
	$(BUILD)/tools/bin/shellcheck $$(git ls-files '*.sh' .ci/run)
