# The Envoy filter end to end, and the demo.

TESTS += e2e-smoke demo-smoke
CHECKS += e2e demo
# make check installs: Debian's chromium, for e2e

# -B: no compiled files among the sources. One test alone: the same with `-k NAME`. What every Envoy of a run
# read and wrote is left in build/e2e, a folder for each test.
E2E := $(VENV)/bin/python -B -m pytest --quiet --build-dir $(BUILD) gateways/envoy/tests/e2e
DEMO := PYTHONPATH=gateways/envoy/tests/harness $(VENV)/bin/python -B gateways/envoy/demo/demo.py $(BUILD)

.PHONY: e2e-smoke
e2e-smoke: envoy-filter $(VENV_READY) ## the Envoy filter end to end: the most valuable tests
	$(E2E) -m smoke

.PHONY: e2e
e2e: envoy-filter $(VENV_READY) ## the Envoy filter end to end: all tests
	checks/need.sh chromium chromium 'a page of another site runs in it'
	checks/need.sh openssl openssl 'it makes a certificate for that'
	$(E2E)

.PHONY: demo
demo: envoy-filter $(VENV_READY) ## the main job on real traffic: Envoy, the OpenAI client, several accounts
	$(DEMO)

.PHONY: demo-smoke
demo-smoke: envoy-filter $(VENV_READY) ## a small run of the demo
	$(DEMO) --smoke
