# The C interface against the checked-in one. Included by the Makefile at the top, whose variables it uses.

ABI = $(BUILD)/tools/bin/python tests/abi/abi.py --cc '$(CC)' --header include/tokenpin.h --library $(SHARED) \
  --baseline tests/abi/baseline.txt

.PHONY: abi
abi: lib tools ## the C interface against its baseline: additions alone are allowed
	$(ABI)

.PHONY: abi-baseline
abi-baseline: lib tools ## the baseline anew, from what is there now
	$(ABI) --write
