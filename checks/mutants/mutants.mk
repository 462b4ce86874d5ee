# Mutation testing of the core.

CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(BUILD)/tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants

# The important first. Not lib.rs and enums.rs: a list and a macro.
FILE ?= $(addprefix src/,$(addsuffix .rs,$(addprefix decide/,mod affinity classify config index fingerprint request) \
  $(addprefix cookie/,mod seal reader ring field set_cookie name value) \
  $(addprefix select/,mod batch jump rendezvous higress slot) key sip secret sink error))

$(CARGO_MUTANTS):
	$(CARGO) install --quiet --locked --root $(BUILD)/tools/cargo-mutants-$(CARGO_MUTANTS_VERSION) \
	  cargo-mutants@$(CARGO_MUTANTS_VERSION)

.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## mutants of the core against the tests; FILE=src/select/jump.rs for one file
	CARGO_TARGET_DIR=$(abspath $(BUILD)/mutants/target) $(PYTHON) -B checks/mutants/mutants.py \
	  --tool $(abspath $<) --out $(abspath $(BUILD)/mutants) $(FILE)
