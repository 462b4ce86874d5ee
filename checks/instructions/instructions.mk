# What the hot functions cost, in instructions. Included by the Makefile at the top.

INSTRUCTIONS := $(BUILD)/instructions

# Bound at the start: a first call that looks up its function would count for more.
$(INSTRUCTIONS)/driver: tests/instructions/driver.c $(CAPI)/numbers.h include/tokenpin.h $(SHARED)
	@mkdir -p $(INSTRUCTIONS)
	$(CC) -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -Iinclude -I$(CAPI) $< $(SHARED) -o $@ \
	  -Wl,-rpath,'$$ORIGIN/../lib' -Wl,-z,now

.PHONY: bench-instructions
bench-instructions: $(INSTRUCTIONS)/driver ## instructions of the hot functions, against the baseline
	tests/need.sh valgrind valgrind
	$(PYTHON) -B tests/instructions/count.py $<

.PHONY: bench-instructions-baseline
bench-instructions-baseline: $(INSTRUCTIONS)/driver ## tests/instructions/baseline.txt, from this build
	tests/need.sh valgrind valgrind
	$(PYTHON) -B tests/instructions/count.py --write $<

.PHONY: jump-exhaustive
jump-exhaustive: ## every form of jump against the paper's, for 200 million pairs
	$(CARGO) test --quiet --locked --release --lib -- --ignored --exact \
	  jump::tests::every_form_gives_the_papers_buckets_200_million_times
