# No secret influences the library's branches, or its time.

TESTS += constant-time
# make test installs: Debian's valgrind, for constant-time

CONSTANT_TIME := $(BUILD)/constant_time
# A build with a comparison that stops at the first wrong byte. All checks here must notice it.
STOPS_EARLY := $(CONSTANT_TIME)/stops_early

$(STOPS_EARLY)/lib/libtokenpin.so: $(SOURCES)
	@TOKENPIN_PLANTED_DEFECT=1 $(MAKE) --no-print-directory lib BUILD=$(STOPS_EARLY) \
	  RUSTC_FLAGS='--cfg tokenpin_planted_compare'
	touch $@

# $(1) is the folder, $(2) the library.
define constant_time_programs
$(1)/%: checks/constant_time/%.c include/tokenpin.h $(CAPI)/check.h $(CAPI)/numbers.h $(CAPI)/world.h $(2)
	@mkdir -p $(1)
	checks/need.sh $(firstword $(VALGRIND)) valgrind 'memcheck follows the secrets'
	$(CC) -std=c11 -O1 -g -Wall -Wextra -Wpedantic -Werror -Iinclude -I$(CAPI) $$< $(2) -lm -o $$@ \
	  -Wl,-rpath,$(abspath $(dir $(2))) -Wl,-z,now
endef
$(eval $(call constant_time_programs,$(CONSTANT_TIME),$(SHARED)))
$(eval $(call constant_time_programs,$(STOPS_EARLY),$(STOPS_EARLY)/lib/libtokenpin.so))

# $(1) is a program of secrets.c.
memcheck = $(VALGRIND) --quiet --log-file=$(1).txt $(1)

.PHONY: constant-time
constant-time: $(CONSTANT_TIME)/secrets $(STOPS_EARLY)/secrets ## no secret decides a branch or an address, by memcheck
	$(PYTHON) -B checks/constant_time/calls.py $(SHARED)
	$(PYTHON) -B checks/constant_time/calls.py $(SHARED) tokenpin_cookie_next | grep 'calls \(bcmp\|memcmp\)'
	$(call memcheck,$(CONSTANT_TIME)/secrets)
	$(call memcheck,$(STOPS_EARLY)/secrets) > $(STOPS_EARLY)/said.txt; [ $$? -eq 1 ]
	grep 'a secret decided 16 times' $(STOPS_EARLY)/said.txt
	grep 'a secret decided 8 times' $(STOPS_EARLY)/said.txt

# In seconds, for each of the two builds and of cookies and ids; at least 30.
DUDECT_SECONDS ?= 60
dudect = $(PYTHON) -B checks/constant_time/dudect.py $(1)/dudect $(CONSTANT_TIME)/$(2).txt $(DUDECT_SECONDS)

$(CONSTANT_TIME)/cookies.txt $(CONSTANT_TIME)/ids.txt: $(CONSTANT_TIME)/%.txt: checks/constant_time/near_misses.py \
  tests/twin/tokenpin_twin.py
	@mkdir -p $(CONSTANT_TIME)
	$(PYTHON) -B $< $* > $@

.PHONY: dudect
dudect: $(CONSTANT_TIME)/dudect $(STOPS_EARLY)/dudect $(CONSTANT_TIME)/cookies.txt $(CONSTANT_TIME)/ids.txt
dudect: ## the time to refuse a cookie or an id does not depend on the wrong byte of its tag
	$(call dudect,$(CONSTANT_TIME),cookies)
	$(call dudect,$(CONSTANT_TIME),ids)
	$(call dudect,$(STOPS_EARLY),cookies); [ $$? -eq 1 ]
	$(call dudect,$(STOPS_EARLY),ids); [ $$? -eq 1 ]
