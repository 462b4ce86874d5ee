# The header without preprocessor, read by its users.

TESTS += ffi-test
# make test installs: LuaJIT and PHP by apt-get, cffi by pip into build/ffi/venv, for ffi-test

FFI := tests/ffi
FFI_OUT := $(BUILD)/ffi
FFI_HEADER := include/tokenpin.ffi

$(FFI_OUT)/venv/installed: $(FFI)/requirements.txt
	@echo 'installing $< into $(@D) (once)'
	@mkdir -p $(FFI_OUT)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(FFI_OUT)/scenario: $(FFI)/scenario.c $(CAPI_HEADERS) $(STATIC)
	@mkdir -p $(FFI_OUT)
	$(CC) $(CAPI_CFLAGS) -I$(CAPI) $< $(STATIC) -o $@

.PHONY: ffi-test
ffi-test: lib $(FFI_OUT)/scenario $(FFI_OUT)/venv/installed ## the header without preprocessor in LuaJIT, PHP and cffi
	checks/need.sh luajit luajit2 'ffi-test runs it'
	checks/need.sh php php-cli 'ffi-test runs it'
	$(FFI_OUT)/scenario tests/vectors > $(FFI_OUT)/expected
	luajit $(FFI)/scenario.lua $(FFI_HEADER) $(abspath $(SHARED)) | diff $(FFI_OUT)/expected -
	php -d ffi.enable=1 $(FFI)/scenario.php $(FFI_HEADER) $(abspath $(SHARED)) | diff $(FFI_OUT)/expected -
	$(FFI_OUT)/venv/bin/python -B $(FFI)/scenario.py $(FFI_HEADER) $(abspath $(SHARED)) | diff $(FFI_OUT)/expected -
