# Faults in real Envoys.

CHECKS += soak

# SEED= repeats a schedule.
SOAK_SECONDS ?= 600
SEED ?=
SOAK := PYTHONPATH=envoy/harness:envoy/e2e:tests/twin $(VENV)/bin/python -B envoy/soak/soak.py $(BUILD)

.PHONY: soak
soak: envoy-filter $(VENV_READY) ## three Envoys under load, faults and hostile requests; SOAK_SECONDS=600, SEED=
	$(SOAK) --seconds $(SOAK_SECONDS) $(addprefix --seed ,$(SEED))
