# The programs of this folder. Those in Python, JavaScript and Java run with the tests of their
# packages.

TESTS += examples

EXAMPLES_OUT := $(BUILD)/examples
EXAMPLES_FLAGS := -Wall -Wextra -Wpedantic -Werror -Iinclude

.PHONY: examples
examples: lib go-lib ## the examples in C, C++, Go and Rust, and what they print
	@mkdir -p $(EXAMPLES_OUT)
	$(CC) -std=c11 $(EXAMPLES_FLAGS) examples/pin.c $(STATIC) -o $(EXAMPLES_OUT)/c
	examples/run.sh $(EXAMPLES_OUT)/c
	$(CXX) -std=c++17 $(EXAMPLES_FLAGS) -pthread examples/pin.cpp $(STATIC) -o $(EXAMPLES_OUT)/cpp
	examples/run.sh $(EXAMPLES_OUT)/cpp
	@test -z "$$(gofmt -l examples)" || { echo 'gofmt:'; gofmt -l examples; exit 1; }
	@set -e; for cgo in $(GO_BACKENDS); do export CGO_ENABLED=$$cgo; \
	  (cd go && $(GO) vet ../examples/pin.go && $(GO) build -o $(abspath $(EXAMPLES_OUT))/go ../examples/pin.go); \
	  examples/run.sh $(EXAMPLES_OUT)/go; done
	examples/run.sh $(CARGO) run --quiet --locked --features alloc --example pin
