# The Go module. Included by the Makefile at the top, whose variables it uses.

GO ?= go

# What cgo_checkout.go refers to. The go command does not see that a library changed; it sees the stamp, a
# header that nobody includes, and builds anew.
.PHONY: go-lib
go-lib: $(STATIC) include/tokenpin.h ## the library, where the Go module finds it
	@mkdir -p go/lib
	cp $(STATIC) include/tokenpin.h go/lib/
	@echo "/* $$(cat $(STATIC) include/tokenpin.h | sha256sum) */" > go/lib/stamp
	@cmp -s go/lib/stamp go/lib_stamp.h || cp go/lib/stamp go/lib_stamp.h
