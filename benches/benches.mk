# The cost.

CHECKS += bench-check

BENCH := $(BUILD)/bench
BENCH_CARGO := --locked --manifest-path benches/Cargo.toml --target-dir $(BENCH)/target
# Not empty: about a minute, and the checked-in figures stay as they are.
QUICK ?=
BENCH_REPORT = $(if $(QUICK),--charts $(BENCH)/charts,--charts docs/measured --document docs/measured/$1.md)

.PHONY: bench
bench: ## speed compared with peers: tables and charts, also into docs/measured; QUICK=1 for a minute
	$(CARGO) build --quiet --release $(BENCH_CARGO)
	benches/run.sh $(BENCH) $(if $(QUICK),1,5) $(if $(QUICK),0.05,0.15)
	$(PYTHON) -B benches/report.py --criterion $(BENCH)/criterion --rounds $(if $(QUICK),1,5) $(call BENCH_REPORT,speed)

.PHONY: picture
picture: ## the picture of README.md, docs/request.svg
	$(PYTHON) -B benches/picture.py docs/request.svg

.PHONY: bench-check
bench-check: ## the benchmarks compile, and run once
	$(CARGO) clippy --quiet --release $(BENCH_CARGO) -- -D warnings
	$(CARGO) run --quiet --release $(BENCH_CARGO) -- --test > $(BENCH)/check.log

BENCH_CALLBACKS := $(BUILD)/envoy/libcallbacks.so
BENCH_CALLBACKS_WITH := $(addprefix gateways/envoy/,unused_hooks.cc body.cc)
$(BENCH_CALLBACKS): benches/callbacks.cc $(BENCH_CALLBACKS_WITH) $(wildcard gateways/envoy/*.h)
	@mkdir -p $(@D)
	$(CXX) $(ENVOY_CXXFLAGS) -Igateways/envoy $(filter %.cc,$^) -o $@ $(ENVOY_LDFLAGS)

# A second copy of each filter. Its hooks have other names, and a stop watch replaces them.
BENCH_TIMED := $(BUILD)/envoy/libtokenpin_timed.so $(BUILD)/envoy/libcallbacks_timed.so
BENCH_HOOKS := new destroy request_headers request_body request_trailers \
  response_headers response_body response_trailers stream_complete
BENCH_HOOK := envoy_dynamic_module_on_http_filter_
BENCH_UNTIMED = $(OBJCOPY) \
  $(foreach hook,$(BENCH_HOOKS),--redefine-sym $(BENCH_HOOK)$(hook)=$(BENCH_HOOK)$(hook)_untimed)
$(BUILD)/envoy/libtokenpin_timed.so: benches/timed.cc $(ENVOY_OBJECTS) $(STATIC) gateways/envoy/exports.map
	$(BENCH_UNTIMED) $(BUILD)/envoy/module.o $(BUILD)/envoy/untimed.o
	$(CXX) $(ENVOY_CXXFLAGS) -Igateways/envoy $< $(BUILD)/envoy/untimed.o $(filter-out %/module.o,$(ENVOY_LINKED)) \
	  -o $@ $(ENVOY_LDFLAGS)
$(BUILD)/envoy/libcallbacks_timed.so: benches/timed.cc $(BENCH_CALLBACKS) gateways/envoy/exports.map
	$(CXX) $(ENVOY_CXXFLAGS) -Igateways/envoy -c benches/callbacks.cc -o $(BUILD)/envoy/callbacks.o
	$(BENCH_UNTIMED) $(BUILD)/envoy/callbacks.o $(BUILD)/envoy/callbacks_untimed.o
	$(CXX) $(ENVOY_CXXFLAGS) -Igateways/envoy $< $(BUILD)/envoy/callbacks_untimed.o $(BENCH_CALLBACKS_WITH) \
	  -o $@ $(ENVOY_LDFLAGS)

.PHONY: bench-envoy
bench-envoy: envoy-filter envoy-venv $(BENCH_CALLBACKS) ## the filter's price in a real Envoy; QUICK=1 is short
	checks/need.sh wrk wrk 'it makes the requests'
	$(VENV)/bin/python -B benches/gateways.py --modules $(dir $(ENVOY_FILTER)) --folder $(BENCH)/envoy \
	  $(call BENCH_REPORT,envoy) $(if $(QUICK),--runs 3)
	@$(MAKE) --no-print-directory bench-bodies

.PHONY: bench-bodies
bench-bodies: envoy-filter envoy-venv $(BENCH_CALLBACKS) $(BENCH_TIMED) ## the filter's price for bodies
	checks/need.sh wrk wrk 'it makes the requests'
	$(VENV)/bin/python -B benches/bodies.py --modules $(dir $(ENVOY_FILTER)) --folder $(BENCH)/bodies \
	  $(if $(QUICK),--runs 2,--document docs/measured/envoy.md)

.PHONY: bench-size
bench-size: lib envoy-filter ## bytes of the libraries and of an affinity, also into docs/proofs
	@mkdir -p $(BENCH)
	$(CC) -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude benches/footprint.c $(STATIC) -o $(BENCH)/footprint
	$(CXX) -o $(BENCH)/filter.so $(ENVOY_LINKED) $(ENVOY_LDFLAGS) -Wl,-Map,$(BENCH)/filter.map
	$(PYTHON) -B benches/size.py --shared $(SHARED) --build $(BENCH) --document docs/proofs/performance.md
