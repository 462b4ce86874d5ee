# The parts that all gateways share: the schema of their configuration, and what they must do.

TESTS += schema conformance-smoke
CHECKS += conformance
# make test installs: the validator jsonschema-rs and PyYAML, by pip into build/schema

CONFORMANCE := gateways/conformance
SCHEMA_VENV := $(BUILD)/schema
$(SCHEMA_VENV)/installed: $(CONFORMANCE)/schema-requirements.txt
	$(call python_packages,the validator of JSON Schema)

# Each parser in the form that schema.py calls. A new one is a line here, and its prerequisites.
JUDGES = envoy=$(BUILD)/envoy/unit/plain/judge \
  nginx='luajit $(NGINX)/tests/judge.lua $(BUILD)/lib' \
  wasm='node gateways/proxy-wasm/tests/judge.mjs $(WASM_FILTER)'
JUDGES_READY := $(BUILD)/envoy/unit/plain/judge nginx-judge wasm-filter

.PHONY: schema
schema: $(SCHEMA_VENV)/installed $(JUDGES_READY) ## the schema, the parsers of it, and the examples of pages
	$(SCHEMA_VENV)/bin/python -B $(CONFORMANCE)/examples.py
	$(SCHEMA_VENV)/bin/python -B $(CONFORMANCE)/schema.py $(JUDGES)

# Each gateway as the adapter of its name starts it. A new one is a word here, and what it is made
# of.
CONFORMANCE_GO := $(BUILD)/conformance/fromjson
GATEWAYS := envoy=$(BUILD)/envoy tower=$(BUILD)/tower/debug/examples/from_json go=$(CONFORMANCE_GO) \
  python=$(BUILD)/python/venv/bin/python nginx=$(BUILD) wasm=$(BUILD)/wasm/tokenpin.wasm js=node
GATEWAYS_READY := envoy-filter envoy-venv conformance-tower $(CONFORMANCE_GO) $(BUILD)/python/current nginx-ready \
  wasm-filter js-package
CONFORMANCE_PYTHON = PYTHONPATH=$(CONFORMANCE) $(VENV)/bin/python -B

# Cargo and Go detect changes themselves.
.PHONY: conformance-tower conformance-go
conformance-tower:
	$(CARGO) build $(TOWER_CARGO) --example from_json
$(CONFORMANCE_GO): conformance-go
	cd go && CGO_ENABLED=0 $(GO) build -o $(abspath $@) ./example/fromjson

.PHONY: conformance-cases
conformance-cases: ## gateways/conformance/cases.json, from cases.py and the model
	$(PYTHON) -B $(CONFORMANCE)/cases.py --write

.PHONY: conformance-smoke
conformance-smoke: $(GATEWAYS_READY) ## some of what every gateway must do, in each of them
	$(CONFORMANCE_PYTHON) $(CONFORMANCE)/cases.py
	$(CONFORMANCE_PYTHON) $(CONFORMANCE)/suite.py --smoke $(GATEWAYS)

.PHONY: conformance
conformance: $(GATEWAYS_READY) ## all of what every gateway must do, random requests, and one client through all in turn
	$(CONFORMANCE_PYTHON) $(CONFORMANCE)/suite.py --random 2000 $(GATEWAYS)
	$(CONFORMANCE_PYTHON) $(CONFORMANCE)/together.py $(GATEWAYS)
