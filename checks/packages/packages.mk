# The installed library, in other folders and with other versions.

TESTS += packages-test
CHECKS += bazel-test
# make check installs: Debian's Bazel, for bazel-test

.PHONY: packages-test
packages-test: lib ## programs built from the installed library, by pkg-config and CMake
	CC='$(CC)' CXX='$(CXX)' checks/packages/packages.sh $(BUILD) $(VERSION) $(SONAME)

.PHONY: bazel-test
bazel-test: lib ## programs built from the installed library, by Bazel
	checks/packages/bazel.sh $(BUILD) $(VERSION) $(SONAME)
