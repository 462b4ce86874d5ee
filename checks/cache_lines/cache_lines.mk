# The cache lines that a decision fetches if nothing of the library is in the caches.

CHECKS += cache-lines

CACHE_LINES := $(BUILD)/cache_lines

$(CACHE_LINES)/driver: checks/instructions/driver.c $(CAPI)/numbers.h include/tokenpin.h $(STATIC)
	@mkdir -p $(CACHE_LINES)
	$(CC) -std=c11 -O1 -DCALLS=1 -Wall -Wextra -Wpedantic -Werror -Iinclude -I$(CAPI) $< $(STATIC) -static -no-pie -o $@

.PHONY: cache-lines
cache-lines: $(CACHE_LINES)/driver ## cache lines and pages of a decision, against the baseline
	checks/need.sh valgrind valgrind 'lackey traces addresses'
	$(PYTHON) -B checks/cache_lines/lines.py $<

.PHONY: cache-lines-baseline
cache-lines-baseline: $(CACHE_LINES)/driver ## checks/cache_lines/baseline.txt, from this build
	checks/need.sh valgrind valgrind 'lackey traces addresses'
	$(PYTHON) -B checks/cache_lines/lines.py --write $<
