# The filter for hosts of proxy-wasm.

BUILDS += wasm-filter
TESTS += wasm-smoke
CHECKS += e2e-wasm
# make test installs: Rust's target wasm32-wasip1, by rustup
# make test installs: binaryen, for wasm-filter, by npm into build/wasm/tools
# make check installs: Higress's ai-proxy, for e2e-wasm, by pip into build/ai-proxy*

PROXY_WASM := $(BUILD)/wasm
WASM_FILTER := $(PROXY_WASM)/tokenpin.wasm
WASM_CARGO := --quiet --locked --manifest-path gateways/proxy-wasm/Cargo.toml --target wasm32-wasip1 \
  --target-dir $(PROXY_WASM)/cargo
WASM_SOURCES := $(SOURCES) $(wildcard gateways/proxy-wasm/src/*.rs) \
  $(addprefix gateways/proxy-wasm/,Cargo.toml Cargo.lock proxy-wasm.mk)
# In bytes: 200 KiB, which some hosts' registries and consoles show as 200 KB.
WASM_MOST := 204800

WASM_TOOLS := $(PROXY_WASM)/tools/installed
$(WASM_TOOLS): gateways/proxy-wasm/package.json gateways/proxy-wasm/package-lock.json
	checks/need.sh npm npm 'it gets binaryen'
	@mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --silent --no-audit --no-fund --prefix $(@D)
	touch $@

.PHONY: wasm-target
wasm-target:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1

WASM_BUILT := $(PROXY_WASM)/cargo/wasm32-wasip1/release/tokenpin_proxy_wasm.wasm

$(WASM_FILTER): $(WASM_SOURCES) $(WASM_TOOLS)
	$(call rust_package,gateways/proxy-wasm,$(PROXY_WASM)/package,src)
	RUSTFLAGS='$(REMAPPED)' $(CARGO) build --release $(WASM_CARGO:gateways/proxy-wasm/%=$(PROXY_WASM)/package/%)
	node --stack-size=4000 $(dir $(WASM_TOOLS))node_modules/.bin/wasm-opt -O3 --strip-debug \
	  --strip-producers --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
	  --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext \
	  $(WASM_BUILT) -o $@.new
	@size=$$(wc -c < $@.new); echo "$@: $$size bytes, $$(gzip -9c $@.new | wc -c) with gzip"; \
	  if [ $$size -gt $(WASM_MOST) ]; then echo 'too large: at most $(WASM_MOST)' >&2; exit 1; fi
	mv $@.new $@

.PHONY: wasm-filter
wasm-filter: wasm-target $(WASM_FILTER) ## the filter for proxy-wasm, build/wasm/tokenpin.wasm

# A filter that panics when a request asks for it.
WASM_PANICS := $(PROXY_WASM)/panics.wasm
$(WASM_PANICS): $(WASM_FILTER)
	$(CARGO) build --release $(WASM_CARGO) --features planted-panic
	cp $(WASM_BUILT) $@

# The plugins that the filter stands in front of in Higress.
AI_PROXIES := ai-proxy ai-proxy-affinity
AI_PROXIES_READY := $(AI_PROXIES:%=$(BUILD)/%/installed)
$(AI_PROXIES_READY): $(BUILD)/%/installed: gateways/proxy-wasm/%-requirements.txt
	$(call python_packages,Higress's plugin $*)

# The dynamic module's own tests: the harness loads the other filter, and a list names the
# differences.
E2E_WASM = TOKENPIN_FILTER=wasm TOKENPIN_WASM=$(WASM_FILTER) TOKENPIN_WASM_PANICS=$(WASM_PANICS) $(E2E)

.PHONY: wasm-smoke
wasm-smoke: wasm-filter envoy-venv ## the filter for proxy-wasm in a real Envoy: the most valuable tests
	$(E2E_WASM)/test_wasm.py -m smoke

E2E_WASM_READY := wasm-filter $(WASM_PANICS) envoy-venv agentic $(AI_PROXIES_READY)
.PHONY: e2e-wasm
e2e-wasm: $(E2E_WASM_READY) ## the dynamic module's end-to-end tests with the filter for proxy-wasm
	checks/need.sh chromium chromium 'a page of another site runs in it'
	checks/need.sh openssl openssl 'it makes a certificate for that'
	$(E2E_WASM) -m 'not ogx $(if $(AGENTIC),,and not agentic)'
	$(if $(AGENTIC),,@echo 'SKIPPED: agentic-api, which has no wheel for this processor' >&2)

$(PROXY_WASM)/empty.wasm: benches/empty.wat $(WASM_TOOLS)
	@mkdir -p $(@D)
	node $(dir $(WASM_TOOLS))node_modules/.bin/wasm-as $< -o $@

.PHONY: bench-wasm
bench-wasm: envoy-filter wasm-filter envoy-venv $(PROXY_WASM)/empty.wasm ## the price of the plugin; QUICK=1
	checks/need.sh wrk wrk 'it makes the requests'
	$(VENV)/bin/python -B benches/wasm.py --modules $(dir $(ENVOY_FILTER)) --wasm $(PROXY_WASM) --folder $(BENCH)/wasm \
	  $(if $(QUICK),--runs 3,--document gateways/proxy-wasm/README.md)
