# The layer for tower.

TESTS += tower

TOWER := $(BUILD)/tower
TOWER_CARGO := --quiet --locked --manifest-path gateways/tower/Cargo.toml --target-dir $(TOWER)

.PHONY: tower
tower: envoy-venv ## the layer for tower, with the OpenAI client and hostile requests through its example
	$(CARGO) test $(TOWER_CARGO)
	GATEWAY=$(TOWER)/debug/examples/axum $(VENV)/bin/python -B -m pytest --quiet -p no:cacheprovider gateways/tower/tests
