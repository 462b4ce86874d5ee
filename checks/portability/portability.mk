# The vectors and the C ABI on other machines, under QEMU and in Node's WebAssembly.

TESTS += no-std
CHECKS += portability
# make test installs: two targets of Rust, for no-std
# make check installs: QEMU, cross compilers and their targets of Rust, for portability

PORTABILITY := checks/portability
PORTABILITY_OUT := $(BUILD)/portability

.PHONY: portability
portability: lib wasi ## the vectors and the C programs on other machines, under QEMU
	$(PORTABILITY)/x87.sh $(PORTABILITY_OUT)/x87
	$(PORTABILITY)/machines.sh $(PORTABILITY_OUT) $(VERSION)

.PHONY: wasi
wasi: ## the vectors in Node's WebAssembly
	rustup target add wasm32-wasip1
	CARGO_TARGET_WASM32_WASIP1_RUNNER='node --no-warnings $(abspath $(PORTABILITY))/wasi.mjs' \
	  $(CARGO) test --quiet $(MACHINE) --target wasm32-wasip1 --target-dir $(PORTABILITY_OUT) \
	  --test vectors --test published --test c_abi --test ids

.PHONY: no-std
no-std: ## builds for bare metal and for WebAssembly
	$(PORTABILITY)/no_std.sh $(BUILD)
