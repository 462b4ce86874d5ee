# Faults in real Envoys. Included by the Makefile at the top, whose variables it uses.

# SECONDS is a variable of bash, but not of make: what is given here counts. SEED= repeats a schedule.
SECONDS ?= 600
SEED ?=
SOAK := PYTHONPATH=envoy/harness:envoy/e2e:tests/twin $(VENV)/bin/python -B envoy/soak/soak.py $(BUILD)

.PHONY: soak
soak: envoy-filter $(VENV_READY) ## three Envoys under load, faults and hostile requests; SECONDS=600, SEED=
	$(SOAK) --seconds $(SECONDS) $(addprefix --seed ,$(SEED))
