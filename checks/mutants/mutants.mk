# Mutation testing of the core.

CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(BUILD)/tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants

# Not lib.rs, limits.rs and enums.rs: a list, constants and a macro.
FILE ?= $(filter-out src/lib.rs src/limits.rs src/enums.rs,\
  $(sort $(wildcard $(addprefix src/,*.rs decide/*.rs cookie/*.rs ids/*.rs select/*.rs))))

$(CARGO_MUTANTS):
	$(CARGO) install --quiet --locked --root $(BUILD)/tools/cargo-mutants-$(CARGO_MUTANTS_VERSION) \
	  cargo-mutants@$(CARGO_MUTANTS_VERSION)

.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## mutants of the core against the tests; FILE=src/select/jump.rs for one file
	CARGO_TARGET_DIR=$(abspath $(BUILD)/mutants/target) $(PYTHON) -B checks/mutants/mutants.py \
	  --tool $(abspath $<) --out $(abspath $(BUILD)/mutants) $(FILE)
