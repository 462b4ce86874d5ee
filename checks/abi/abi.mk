# The C interface against the checked-in one.

TESTS += abi

ABI = $(BUILD)/tools/bin/python checks/abi/abi.py --cc '$(CC)' --header include/tokenpin.h \
  --ffi include/tokenpin.ffi --library $(SHARED) \
  --baseline checks/abi/baseline.txt

.PHONY: abi
abi: lib tools ## the C interface against its baseline: only additions are allowed; both headers declare the same
	$(ABI)

.PHONY: abi-baseline
abi-baseline: lib tools ## checks/abi/baseline.txt, from this build
	$(ABI) --write
