# The cost of the hot functions, in instructions.

CHECKS += bench-instructions

INSTRUCTIONS := $(BUILD)/instructions

# Bound at the start: a first call that looks up its function would count for more.
$(INSTRUCTIONS)/driver: checks/instructions/driver.c $(CAPI)/numbers.h include/tokenpin.h $(SHARED)
	@mkdir -p $(INSTRUCTIONS)
	$(CC) -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -Iinclude -I$(CAPI) $< $(SHARED) -o $@ \
	  -Wl,-rpath,'$$ORIGIN/../lib' -Wl,-z,now

.PHONY: bench-instructions
bench-instructions: $(INSTRUCTIONS)/driver ## instructions of the hot functions, against the baseline
	checks/need.sh valgrind valgrind 'callgrind counts instructions'
	$(PYTHON) -B checks/instructions/count.py $<

.PHONY: bench-instructions-baseline
bench-instructions-baseline: $(INSTRUCTIONS)/driver ## checks/instructions/baseline.txt, from this build
	checks/need.sh valgrind valgrind 'callgrind counts instructions'
	$(PYTHON) -B checks/instructions/count.py --write $<
