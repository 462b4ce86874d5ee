# The Rust tests, and their output files.

FIRST += unit
TESTS += readme twin
CHECKS += jump-exhaustive

.PHONY: unit
unit: ## the Rust tests, with and without the C ABI
	$(CARGO) test --locked --features alloc
	$(CARGO) test --locked --features capi --lib --test no_alloc --test c_abi --test bindings

.PHONY: jump-exhaustive
jump-exhaustive: ## every form of jump against the paper's, for 200 million pairs
	@echo 'this test, and not none:'
	$(CARGO) test --quiet --locked --release --lib -- --ignored \
	  every_form_gives_the_papers_buckets_200_million_times | grep ' 1 passed; 0 failed'

.PHONY: vectors
vectors: ## tests/vectors/*_v1.json, the worked examples and figures in docs/, from the code
	TOKENPIN_WRITE_VECTORS=1 $(CARGO) test --quiet --locked --test vectors --test docs --test operations

.PHONY: readme
readme: lib ## the programs of docs/guides/embedding.md
	tests/docs/examples.sh $(BUILD) docs/guides/embedding.md

.PHONY: twin
twin: lib ## the Python implementation against the vectors and the shared library
	$(PYTHON) -B tests/twin/test_twin.py --library $(SHARED)
