# The Envoy filter against a stand-in for Envoy, with sanitizers.

TESTS += envoy-unit
CHECKS += envoy-unit-tsan

UNIT := gateways/envoy/tests/unit
UNIT_OUT := $(BUILD)/envoy/unit
UNIT_PROGRAMS := fleet retry_after configuration streams bodies threads life
UNIT_FLAGS := -std=c++17 -g -Wall -Wextra -Wpedantic -Werror -Iinclude -Igateways/envoy -Itests/capi \
  -fno-omit-frame-pointer
# Unoptimised: it compiles in half of the time, and no access is optimised out.
UNIT_ASAN := -O0 -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_TSAN := -O1 -fsanitize=thread
UNIT_HEADERS := $(wildcard gateways/envoy/*.h $(UNIT)/*.h include/*) tests/capi/check.h $(UNIT)/unit.mk

# $(1) is the variant, $(2) its flags.
define unit_variant
$(UNIT_OUT)/$(1)/filter/%.o: gateways/envoy/%.cc $(UNIT_HEADERS) $(JSON_READY)
	@mkdir -p $$(@D)
	$(CXX) $(UNIT_FLAGS) $(2) -isystem $$(JSON_INCLUDE) -c $$< -o $$@
$(UNIT_OUT)/$(1)/%.o: $(UNIT)/%.cc $(UNIT_HEADERS)
	@mkdir -p $$(@D)
	$(CXX) $(UNIT_FLAGS) $(2) -c $$< -o $$@
$(addprefix $(UNIT_OUT)/$(1)/,$(UNIT_PROGRAMS)): $(UNIT_OUT)/$(1)/%: \
    $(UNIT_OUT)/$(1)/%.o $(UNIT_OUT)/$(1)/standin.o \
    $(patsubst gateways/envoy/%.cc,$(UNIT_OUT)/$(1)/filter/%.o,$(wildcard gateways/envoy/*.cc)) $(STATIC)
	$(CXX) $(2) -pthread $$^ -o $$@
endef
$(eval $(call unit_variant,asan,$(UNIT_ASAN)))
$(eval $(call unit_variant,tsan,$(UNIT_TSAN)))

# The filter as it is shipped.
$(UNIT_OUT)/plain/%.o: $(UNIT)/%.cc $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(CXX) $(UNIT_FLAGS) -O2 -c $< -o $@
$(addprefix $(UNIT_OUT)/plain/,allocations judge): $(UNIT_OUT)/plain/%: $(UNIT_OUT)/plain/%.o \
    $(UNIT_OUT)/plain/standin.o $(ENVOY_OBJECTS) $(STATIC)
	$(CXX) -pthread $^ -o $@

UNIT_ASAN_PROGRAMS := $(addprefix $(UNIT_OUT)/asan/,$(UNIT_PROGRAMS)) $(UNIT_OUT)/plain/allocations
UNIT_TSAN_PROGRAMS := $(addprefix $(UNIT_OUT)/tsan/,threads life)

.PHONY: envoy-unit
envoy-unit: ## the Envoy filter against a stand-in for Envoy, with AddressSanitizer
	@$(MAKE) --no-print-directory -j2 $(UNIT_ASAN_PROGRAMS)
	tests/support/run.sh $(UNIT_ASAN_PROGRAMS)

.PHONY: envoy-unit-tsan
envoy-unit-tsan: ## the Envoy filter's threads, with ThreadSanitizer
	@$(MAKE) --no-print-directory -j2 $(UNIT_TSAN_PROGRAMS)
	tests/support/run.sh $(UNIT_TSAN_PROGRAMS)
