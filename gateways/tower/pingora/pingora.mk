# The example in pingora.

CHECKS += pingora

PINGORA := $(BUILD)/pingora
PINGORA_CARGO := --quiet --locked --manifest-path gateways/tower/pingora/Cargo.toml --target-dir $(PINGORA)
# Not those of what only the layer has: cooldowns that a status asks for, retries, the carrier
# header.
PINGORA_TESTS := conversations or without_any_cookie or conflict or streams or long_request or hostile

.PHONY: pingora
pingora: envoy-venv ## the example in pingora: the OpenAI client without a cookie, and hostile requests, through it
	$(CARGO) clippy $(PINGORA_CARGO) -- -D warnings
	$(CARGO) build $(PINGORA_CARGO)
	GATEWAY=$(PINGORA)/debug/tokenpin-pingora $(VENV)/bin/python -B -m pytest --quiet -p no:cacheprovider \
	  -k '$(PINGORA_TESTS)' gateways/tower/tests
