# The C ABI from C.

TESTS += capi-test
CHECKS += capi-sanitize

RUSTC ?= rustc

CAPI_PROGRAMS := layout contract capi ids decisions no_alloc two_rusts

# The objects of each program, in either variant.
CAPI_layout := layout.o
CAPI_contract := contract.o
CAPI_capi := capi.o
CAPI_ids := ids.o
CAPI_decisions := decisions.o
CAPI_no_alloc := no_alloc.o
CAPI_two_rusts := two_rusts.o libother.a
# Arguments, and objects of only the plain variant.
CAPI_ARGS_capi := tests/vectors $(VERSION)
CAPI_ARGS_ids := tests/vectors
CAPI_ARGS_decisions := tests/vectors
CAPI_PLAIN_capi := alloc.o
CAPI_PLAIN_no_alloc := alloc.o
CAPI_LIBS_two_rusts := -lgcc_s -ldl -lm

# $(1) is the folder, $(2) its flags.
define capi_objects
$(1)/%.o: $(CAPI)/%.c $(CAPI_HEADERS)
	@mkdir -p $(1)
	$(CC) $(CAPI_CFLAGS) $(2) -c $$< -o $$@
$(1)/two_rusts.o: $(CAPI)/two_rusts/main.c $(CAPI_HEADERS)
	@mkdir -p $(1)
	$(CC) $(CAPI_CFLAGS) $(2) -c $$< -o $$@
endef
$(eval $(call capi_objects,$(CAPI_OUT),-DALLOC_HOOKS))
$(eval $(call capi_objects,$(CAPI_OUT)/sanitize,$(CAPI_SANITIZE)))
$(eval $(call capi_objects,$(CAPI_OUT)/memcheck,-DUNDER_MEMCHECK))

$(CAPI_OUT)/libother.a: $(CAPI)/two_rusts/other.rs
	@mkdir -p $(CAPI_OUT)
	$(RUSTC) --edition 2021 --crate-type staticlib -O -o $@ $<

# $(1) is the program.
define capi_program
CAPI_OBJECTS_$(1) := $$(addprefix $(CAPI_OUT)/,$$(CAPI_$(1)) $$(CAPI_PLAIN_$(1)))
$(CAPI_OUT)/$(1)-static: $$(CAPI_OBJECTS_$(1)) $(STATIC)
	$(CC) $$^ $$(CAPI_LIBS_$(1)) -o $$@
$(CAPI_OUT)/$(1)-shared: $$(CAPI_OBJECTS_$(1)) $(SHARED)
	$(CC) $$^ $$(CAPI_LIBS_$(1)) -Wl,-rpath,'$$$$ORIGIN/../lib' -o $$@
$(CAPI_OUT)/sanitize/$(1): $$(addprefix $(CAPI_OUT)/sanitize/,$$(CAPI_$(1))) $(STATIC)
	$(CC) $(CAPI_SANITIZE) $$^ -o $$@
endef
$(foreach program,$(CAPI_PROGRAMS),$(eval $(call capi_program,$(program))))

CAPI_STATIC := $(foreach program,$(CAPI_PROGRAMS),$(CAPI_OUT)/$(program)-static)
CAPI_SHARED := $(foreach program,$(CAPI_PROGRAMS),$(CAPI_OUT)/$(program)-shared)

.PHONY: capi-test
capi-test: lib $(CAPI_STATIC) $(CAPI_SHARED) ## the C ABI from C
	tests/support/run.sh \
	  $(foreach program,$(CAPI_PROGRAMS),$(foreach linked,static shared, \
	    '$(strip $(CAPI_OUT)/$(program)-$(linked) $(CAPI_ARGS_$(program)))'))

.PHONY: capi-sanitize
capi-sanitize: lib $(addprefix $(CAPI_OUT)/sanitize/,$(CAPI_SANITIZED)) ## the C programs with sanitizers
	tests/support/run.sh $(foreach program,$(CAPI_SANITIZED), \
	  '$(strip $(CAPI_OUT)/sanitize/$(program) $(CAPI_ARGS_$(program)))')
