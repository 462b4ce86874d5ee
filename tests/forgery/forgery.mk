# Ten million forged cookies, and as many ids.

CHECKS += forgery

# The number of forgeries that must reach the comparison of the tag.
FORGERIES ?= 10000000
FORGE = TOKENPIN_FORGERIES=$(FORGERIES) $(CARGO) test --quiet --locked --release --test forgery

.PHONY: forgery
forgery: ## ten million forged cookies, and ids: none is accepted, and of tags cut to 16 bits one in 65536
	$(FORGE) -- --nocapture mass
	RUSTC_WORKSPACE_WRAPPER=tests/forgery/cut_tag.sh $(FORGE) -- --nocapture mass
