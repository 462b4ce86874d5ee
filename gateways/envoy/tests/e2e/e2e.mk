# The Envoy filter end to end, and the demo.

TESTS += e2e-smoke demo-smoke
CHECKS += e2e e2e-ogx demo
# make test installs: OpenAI's clients for Node and Go into build/clients, for the demo
# make check installs: Debian's chromium, for e2e
# make check installs: the servers agentic-api and ogx, by pip into build/agentic and build/ogx

# -B: no compiled files among the sources. Run a single test with `-k NAME`. build/e2e keeps a
# folder for each test, with everything that an Envoy of the run read and wrote.
E2E := $(VENV)/bin/python -B -m pytest --quiet --build-dir $(BUILD) gateways/envoy/tests/e2e
DEMO := PYTHONPATH=gateways/envoy/tests/harness $(VENV)/bin/python -B gateways/envoy/demo/demo.py $(BUILD)

# The clients of the demo that are not in Python.
CLIENTS := $(BUILD)/clients
CLIENTS_OF := gateways/envoy/demo/clients
$(CLIENTS)/client: $(CLIENTS_OF)/client.go $(CLIENTS_OF)/go.mod $(CLIENTS_OF)/go.sum
	cd $(CLIENTS_OF) && $(GO) vet . && $(GO) build -ldflags '-s -w' -o $(abspath $@) .
$(CLIENTS)/client.js: $(CLIENTS_OF)/client.js $(CLIENTS_OF)/package.json $(CLIENTS_OF)/package-lock.json
	checks/need.sh npm npm 'it gets the OpenAI client for Node'
	@mkdir -p $(@D)
	cp $(filter %.json,$^) $(@D)
	npm ci --silent --no-audit --no-fund --prefix $(@D)
	cp $< $@

# Real servers as accounts. Both have wheels for Linux on x86-64, and ogx needs a newer Python than
# the others.
SERVED := $(filter x86_64,$(shell uname -m))
AGENTIC := $(if $(SERVED),$(BUILD)/agentic/installed)
$(BUILD)/agentic/installed: gateways/envoy/agentic-requirements.txt
	$(call python_packages,agentic-api)
.PHONY: agentic
agentic: $(AGENTIC)

OGX_PYTHON ?= $(if $(SERVED),$(shell for p in python3.12 python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[23].*/bin/python3; do \
  $$p -c '' 2> /dev/null && echo $$p && break; done))
$(BUILD)/ogx/installed: PYTHON = $(OGX_PYTHON)
$(BUILD)/ogx/installed: gateways/envoy/ogx-requirements.txt
	$(call python_packages,ogx)

.PHONY: e2e-smoke
e2e-smoke: envoy-filter $(VENV_READY) ## the Envoy filter end to end: the most valuable tests
	$(E2E) -m smoke

.PHONY: e2e
e2e: envoy-filter $(VENV_READY) agentic ## the Envoy filter end to end: all tests
	checks/need.sh chromium chromium 'a page of another site runs in it'
	checks/need.sh openssl openssl 'it makes a certificate for that'
	$(E2E) -m 'not ogx $(if $(AGENTIC),,and not agentic)'
	$(if $(AGENTIC),,@echo 'SKIPPED: agentic-api, which has no wheel for this processor' >&2)

.PHONY: e2e-ogx
e2e-ogx: envoy-filter $(VENV_READY) ## the filter with a server of files, vector stores and batches; OGX_PYTHON=
	@if [ -z '$(OGX_PYTHON)' ]; then \
	  echo 'SKIPPED: ogx, which asks for Python 3.12 or 3.13 on Linux on x86-64; OGX_PYTHON= names one' >&2; \
	else \
	  "$$MAKE" --no-print-directory $(BUILD)/ogx/installed && $(E2E) -m ogx; \
	fi

.PHONY: demo
demo: prerequisites envoy-filter $(VENV_READY) $(CLIENTS)/client $(CLIENTS)/client.js
demo: ## the main job on real traffic: Envoy, OpenAI clients, several accounts
	$(DEMO)

.PHONY: demo-smoke
demo-smoke: envoy-filter $(VENV_READY) $(CLIENTS)/client $(CLIENTS)/client.js ## a small run of the demo
	$(DEMO) --smoke
