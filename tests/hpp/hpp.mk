# tokenpin.hpp from C++17 to C++23, by two compilers, with and without exceptions.

TESTS += hpp-test
CHECKS += hpp-sanitize
# make test installs: Debian's clang, the second compiler of hpp-test

HPP := tests/hpp
HPP_GCC ?= g++
HPP_CLANG ?= clang++

HPP_FLAGS := -O1 -g -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -I$(CAPI) -pthread
HPP_HEADERS := include/tokenpin.h include/tokenpin.hpp $(wildcard $(CAPI)/*.h $(HPP)/*.h) $(HPP)/hpp.mk

# The variants: compiler, standard, mode. gcc's are linked with the static library, clang's with the
# shared one.
HPP_STANDARDS := c++17 c++20 c++2b
HPP_MODES := default bare
HPP_FLAGS_default :=
HPP_FLAGS_bare := -fno-exceptions -fno-rtti
HPP_VARIANTS :=

# The functions that system.cpp replaces.
HPP_WRAP := $(foreach function,getrandom pthread_atfork time tokenpin_abi_version \
  tokenpin_cookie_default_name,-Xlinker --wrap=$(function))

# $(1) is the folder, $(2) the compiler, $(3) its flags, $(4) the library.
define hpp_variant
$(1)/%.o: $(HPP)/%.cpp $(HPP_HEADERS)
	@mkdir -p $(1)
	$(2) $(HPP_FLAGS) $(3) -c $$< -o $$@
$(1)/hpp: $(1)/hpp.o $(1)/other.o $(1)/header.o $(4)
	$(2) $(3) -pthread $$^ -Wl,-rpath,$(abspath $(LIB)) -o $$@
$(1)/decisions: $(1)/decisions.o $(4)
	$(2) $(3) -pthread $$^ -Wl,-rpath,$(abspath $(LIB)) -o $$@
$(1)/system: $(1)/system.o $(4)
	$(2) $(3) -pthread $$^ -Wl,-rpath,$(abspath $(LIB)) $(HPP_WRAP) -o $$@
endef

# $(1) is the standard, $(2) the mode.
define hpp_variants
$(eval $(call hpp_variant,$(HPP_OUT)/gcc-$(1)-$(2),$(HPP_GCC),-std=$(1) $(HPP_FLAGS_$(2)),$(STATIC)))
$(eval $(call hpp_variant,$(HPP_OUT)/clang-$(1)-$(2),$(HPP_CLANG),-std=$(1) $(HPP_FLAGS_$(2)),$(SHARED)))
HPP_VARIANTS += $(HPP_OUT)/gcc-$(1)-$(2) $(HPP_OUT)/clang-$(1)-$(2)
endef
$(foreach standard,$(HPP_STANDARDS),$(foreach mode,$(HPP_MODES),$(eval $(call hpp_variants,$(standard),$(mode)))))
# The behaviour of the header on systems other than Linux.
$(eval $(call hpp_variant,$(HPP_OUT)/portable,$(HPP_GCC),-std=c++17 -U__linux__,$(STATIC)))
$(eval $(call hpp_variant,$(HPP_OUT)/sanitize,$(HPP_GCC),-std=c++17 $(CAPI_SANITIZE),$(STATIC)))

hpp_runs = $(1)/hpp $(1)/system '$(1)/system fork'

# The vectors, in the oldest and in the newest of the variants.
HPP_DECISIONS := $(HPP_OUT)/gcc-c++17-default/decisions $(HPP_OUT)/clang-c++2b-bare/decisions

.PHONY: hpp-test
hpp-test: lib ## tokenpin.hpp by two compilers, with and without exceptions
	checks/need.sh $(firstword $(HPP_CLANG)) clang 'tokenpin.hpp is compiled by two compilers'
	@$(MAKE) --no-print-directory -j 2 $(foreach variant,$(HPP_VARIANTS),$(call hpp_programs,$(variant))) \
	  $(HPP_OUT)/portable/hpp $(HPP_DECISIONS)
	tests/support/run.sh $(foreach variant,$(HPP_VARIANTS),$(call hpp_runs,$(variant))) \
	  $(HPP_OUT)/portable/hpp $(foreach program,$(HPP_DECISIONS),'$(program) tests/vectors') \
	  'CXX="$(HPP_GCC)" $(HPP)/source.sh' 'CXX="$(HPP_CLANG)" $(HPP)/source.sh'

.PHONY: hpp-sanitize
hpp-sanitize: lib $(call hpp_programs,$(HPP_OUT)/sanitize) $(HPP_OUT)/sanitize/decisions ## the C++ programs, sanitized
	tests/support/run.sh $(call hpp_runs,$(HPP_OUT)/sanitize) '$(HPP_OUT)/sanitize/decisions tests/vectors'
