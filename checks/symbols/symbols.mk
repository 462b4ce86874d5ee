# The header by itself, and the libraries as the linker sees them.

TESTS += symbols

.PHONY: symbols
symbols: lib ## symbols, hardening, that the header compiles by itself, and that a planted panic does not link
	CC='$(CC)' CXX='$(CXX)' SONAME='$(SONAME)' checks/symbols/symbols.sh $(LIB)
