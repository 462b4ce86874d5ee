# What all gateways share: the schema of their configuration, and what they must do.

TESTS += schema
# make test installs: the validator jsonschema-rs and PyYAML, by pip into build/schema

CONFORMANCE := gateways/conformance
SCHEMA_VENV := $(BUILD)/schema
$(SCHEMA_VENV)/installed: $(CONFORMANCE)/schema-requirements.txt
	$(call python_packages,the validator of JSON Schema)

.PHONY: schema
schema: $(SCHEMA_VENV)/installed $(BUILD)/envoy/unit/plain/judge ## the schema of the configuration, the parser that reads it, and the examples of pages
	$(SCHEMA_VENV)/bin/python -B $(CONFORMANCE)/examples.py
	$(SCHEMA_VENV)/bin/python -B $(CONFORMANCE)/schema.py $(BUILD)/envoy/unit/plain/judge
