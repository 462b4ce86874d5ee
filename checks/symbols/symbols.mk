# The header by itself, and the libraries as the linker sees them.

TESTS += symbols

.PHONY: symbols
symbols: lib ## symbols and hardening; the header compiles without others; a planted panic does not link
	CC='$(CC)' CXX='$(CXX)' SONAME='$(SONAME)' checks/symbols/symbols.sh $(LIB)
