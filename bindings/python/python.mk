# The Python package: the wheel, and its tests.

BUILDS += python-wheel
TESTS += python
CHECKS += python-litellm python-speed python-versions
# make check installs: LiteLLM and what it needs, by pip into build/python/litellm
# make test installs: maturin, zig, pytest, mypy and servers, by pip into build/python/venv

PY := bindings/python
PY_OUT := $(BUILD)/python
PY_VENV := $(PY_OUT)/venv
PY_SOURCES := $(PY)/Cargo.toml $(PY)/Cargo.lock $(PY)/pyproject.toml $(PY)/README.md \
  $(shell find $(PY)/src $(PY)/python -name '*.rs' -o -name '*.py' -o -name '*.pyi')
PY_PYTEST := $(PY_VENV)/bin/python -B -m pytest --quiet -p no:cacheprovider
PY_CARGO := --quiet --locked --manifest-path $(PY)/Cargo.toml --target-dir $(PY_OUT)/cargo

$(PY_VENV)/installed: $(PY)/requirements.txt
	@echo 'installing $< into $(@D) (once)'
	@mkdir -p $(PY_OUT)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# Zig's libc is old enough for manylinux2014, and one wheel serves every Python from 3.9 on.
$(PY_OUT)/wheels/built: $(SOURCES) $(PY_SOURCES) $(PY_VENV)/installed
	rm -rf $(@D)
	$(call rust_package,$(PY),$(PY_OUT)/package,src python README.md pyproject.toml)
	PATH="$(abspath $(PY_VENV))/bin:$$PATH" CARGO_TARGET_DIR=$(abspath $(PY_OUT))/cargo RUSTFLAGS='$(REMAPPED)' \
	  $(PY_VENV)/bin/maturin build --quiet --release --locked --zig --compatibility manylinux2014 \
	  --manifest-path $(PY_OUT)/package/Cargo.toml --out $(@D)
	touch $@

.PHONY: python-wheel
python-wheel: $(PY_OUT)/wheels/built ## the wheel for Python, in build/python/wheels

# The wheel in the environment of the tests.
$(PY_OUT)/current: $(PY_OUT)/wheels/built
	$(PY_VENV)/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall $(<D)/*.whl
	touch $@

.PHONY: python
python: $(PY_OUT)/current ## the Python package: in an empty environment, and all of its tests
	$(PYTHON) -m venv --clear $(PY_OUT)/empty
	$(PY_OUT)/empty/bin/pip install --quiet --disable-pip-version-check --no-index $(PY_OUT)/wheels/*.whl
	$(PY_OUT)/empty/bin/python -B $(PY)/tests/readme.py $(PY)/README.md
	examples/run.sh $(PY_OUT)/empty/bin/python -B examples/pin.py
	$(PY_VENV)/bin/python -B -m mypy.stubtest --concise tokenpin._tokenpin
	$(PY_VENV)/bin/python -B -m mypy --strict --no-incremental --cache-dir=/dev/null -p tokenpin
	$(PY_VENV)/bin/python -B -m mypy --strict --no-incremental --cache-dir=/dev/null $(PY)/tests/typed.py
	$(PY_PYTEST) $(PY)/tests

.PHONY: python-speed
python-speed: $(PY_OUT)/current ## the cost of calls from Python, compared with itsdangerous and a jump hash
	$(PY_VENV)/bin/python -B $(PY)/tests/speed.py

# The version that the plugin was made for, and the newest, whose hooks may have changed.
PY_LITELLM := $(PY_OUT)/litellm
$(PY_LITELLM)/installed: $(PY)/litellm-requirements.txt
	@echo 'installing $< into $(@D) (once)'
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.PHONY: python-litellm
python-litellm: $(PY_OUT)/wheels/built $(PY_LITELLM)/installed ## the plugin in LiteLLM, a known version and the newest
	$(PY)/tests/litellm.sh $(PY_LITELLM) $(PY_OUT)/wheels

# The stable ABI, in every Python of this machine.
.PHONY: python-versions
python-versions: $(PY_OUT)/wheels/built ## the wheel in each version of Python that this machine has
	$(PY)/tests/versions.sh $(PY_OUT)
