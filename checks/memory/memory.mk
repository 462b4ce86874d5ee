# Tools that watch memory and threads. Each target also plants defects, which its tool must report.

CHECKS += capi-valgrind rust-asan threads
LAST += miri
# make check installs: Rust's nightly toolchain, for Miri, sanitizers, coverage and least versions

MEMORY := checks/memory
MEMORY_OUT := $(BUILD)/memory
PLANTED := $(MEMORY)/planted.sh

# Miri. Stacked borrows for everything, tree borrows and many schedules for pointers and threads.
# The C ABI, which has all unsafe code, runs whole. For all other tests,
# tests/support/src/sample.rs tells how much of them runs.
# * The symbolic alignment check rejects memchr, which aligns its own pointers, so it runs only on
#   tests without it.
# * Of the published vectors only the rows run: the random pairs take too long, and touch no memory.
# * Forged cookies do not run: they reach no other memory than forged ids do.
# * Many schedules run only for few slots that are up: the other fleets read the same words.
# * Tests that need a process, another compiler or many crates are not in checks/machine.
# The known answers of the ids also run on a big-endian and on a 32-bit machine, where the pointers
# of the C ABI have another size.
MIRI_FLAGS := -Zmiri-disable-isolation -Zmiri-strict-provenance
MIRI = MIRIFLAGS='$(MIRI_FLAGS) $(1)' $(CARGO) +$(NIGHTLY) miri test --quiet $(MACHINE) --target-dir $(MEMORY_OUT)/miri

MIRI_IDS := ids::ids bodies::bodies

.PHONY: miri
miri: ## the C ABI and the core under Miri: the first whole, samples of the second
	checks/nightly.sh $(NIGHTLY) miri rust-src
	$(call MIRI) --test c_abi --test threads --test owned
	$(call MIRI,-Zmiri-symbolic-alignment-check) --test c_abi -- numbers jump slots rings
	$(call MIRI,-Zmiri-tree-borrows) --test c_abi --test threads
	$(call MIRI,-Zmiri-many-seeds=0..8) --test threads -- every_answer_is_one while_states
	$(call MIRI) --test vectors --test ids
	$(call MIRI) --test forgery ids::
	$(call MIRI) --target s390x-unknown-linux-gnu --test vectors -- --exact $(MIRI_IDS)
	$(call MIRI) --target i686-unknown-linux-gnu --test vectors -- --exact $(MIRI_IDS)
	$(call MIRI) --target i686-unknown-linux-gnu --test c_abi -- one_id pointers
	$(call MIRI) --test published every_row
	$(call miri_planted,write_out_of_bounds,memory access failed|out-of-bounds)
	$(call miri_planted,use_after_free,has been freed|dangling)
	$(call miri_planted,uninitialised_read,uninitialized)
	$(call miri_planted,data_race,Data race detected,-Zmiri-disable-stacked-borrows)

# The third parameter: two threads that write break stacked borrows as well, and the tool reports
# the fault that it sees first.
miri_planted = $(PLANTED) 'Undefined Behavior.*($(2))' env $(call MIRI,$(3)) --test planted -- --ignored $(1)

# The C and C++ programs, with the library as it is shipped. All memory must be freed, except for
# the stacks of threads that the libc keeps (to memcheck, possibly lost).
MEMCHECK := $(VALGRIND) --quiet --fair-sched=yes --error-exitcode=9 --leak-check=full \
  --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect
$(CAPI_OUT)/memcheck/planted.o: $(MEMORY)/planted.c $(CAPI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) -c $< -o $@
MEMCHECK_PROGRAMS := $(CAPI_SANITIZED) planted
$(addprefix $(MEMORY_OUT)/memcheck/,$(MEMCHECK_PROGRAMS)): $(MEMORY_OUT)/memcheck/%: $(CAPI_OUT)/memcheck/%.o $(STATIC)
	@mkdir -p $(@D)
	$(CC) $^ -o $@

.PHONY: capi-valgrind
capi-valgrind: lib $(addprefix $(MEMORY_OUT)/memcheck/,$(MEMCHECK_PROGRAMS))
capi-valgrind: $(call hpp_programs,$(HPP_OUT)/gcc-c++17-default) ## the C and C++ programs under valgrind
	checks/need.sh $(firstword $(VALGRIND)) valgrind 'memcheck watches the C programs'
	tests/support/run.sh $(foreach program,$(CAPI_SANITIZED), \
	    '$(strip $(MEMCHECK) $(MEMORY_OUT)/memcheck/$(program) $(CAPI_ARGS_$(program)))') \
	  $(foreach run,$(call hpp_programs,$(HPP_OUT)/gcc-c++17-default),'$(MEMCHECK) $(run)')
	$(PLANTED) 'Invalid write of size' $(MEMCHECK) $(MEMORY_OUT)/memcheck/planted write_out_of_bounds
	$(PLANTED) 'Invalid read of size' $(MEMCHECK) $(MEMORY_OUT)/memcheck/planted use_after_free
	$(PLANTED) 'uninitialised value' $(MEMCHECK) $(MEMORY_OUT)/memcheck/planted uninitialised_read
	$(PLANTED) 'definitely lost' $(MEMCHECK) $(MEMORY_OUT)/memcheck/planted leak

# The C programs with the library itself instrumented: core and all dependencies are built again.
RUST_ASAN := $(MEMORY_OUT)/asan/$(HOST)/release/libtokenpin.a
RUST_ASAN_PROGRAMS := $(CAPI_SANITIZED) planted
$(RUST_ASAN): $(SOURCES)
	CARGO_PROFILE_RELEASE_DEBUG=1 RUSTFLAGS='-Zsanitizer=address -Crelocation-model=pic --cfg tokenpin_artefact' \
	  $(CARGO) +$(NIGHTLY) rustc --quiet --locked --release --lib --features capi --crate-type staticlib \
	  -Zbuild-std=core --target $(HOST) --target-dir $(MEMORY_OUT)/asan
$(CAPI_OUT)/sanitize/planted.o: $(MEMORY)/planted.c $(CAPI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) $(CAPI_SANITIZE) -c $< -o $@
$(addprefix $(MEMORY_OUT)/rust-asan/,$(RUST_ASAN_PROGRAMS)): $(MEMORY_OUT)/rust-asan/%: \
    $(CAPI_OUT)/sanitize/%.o $(MEMORY)/panic.c $(RUST_ASAN)
	@mkdir -p $(@D)
	$(CC) $(CAPI_SANITIZE) $^ -o $@
# The programs of tokenpin.hpp, in the sanitized variant.
$(addprefix $(MEMORY_OUT)/rust-asan/,hpp): $(addprefix $(HPP_OUT)/sanitize/,hpp.o other.o header.o) \
    $(MEMORY_OUT)/panic.o $(RUST_ASAN)
	@mkdir -p $(@D)
	$(HPP_GCC) $(CAPI_SANITIZE) -pthread $^ -o $@
$(MEMORY_OUT)/panic.o: $(MEMORY)/panic.c
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) -c $< -o $@

.PHONY: rust-asan
rust-asan: ## the C and C++ programs, with AddressSanitizer in the library too
	checks/nightly.sh $(NIGHTLY) rust-src
	@$(MAKE) --no-print-directory $(addprefix $(MEMORY_OUT)/rust-asan/,$(RUST_ASAN_PROGRAMS) hpp)
	tests/support/run.sh $(foreach program,$(CAPI_SANITIZED), \
	    '$(strip $(MEMORY_OUT)/rust-asan/$(program) $(CAPI_ARGS_$(program)))') $(MEMORY_OUT)/rust-asan/hpp
	$(PLANTED) 'heap-buffer-overflow' $(MEMORY_OUT)/rust-asan/planted write_out_of_bounds
	$(PLANTED) 'heap-use-after-free' $(MEMORY_OUT)/rust-asan/planted use_after_free
	$(PLANTED) 'detected memory leaks' $(MEMORY_OUT)/rust-asan/planted leak

# ThreadSanitizer, also over std. Otherwise it would not see the synchronisation in std.
TSAN = RUSTFLAGS=-Zsanitizer=thread TSAN_OPTIONS=halt_on_error=1 $(CARGO) +$(NIGHTLY) test --quiet $(MACHINE) \
  -Zbuild-std --target $(HOST) --target-dir $(MEMORY_OUT)/tsan

.PHONY: threads
threads: ## states that change while others decide: ThreadSanitizer, and every interleaving of a model
	checks/nightly.sh $(NIGHTLY) rust-src
	$(TSAN) --test threads --test c_abi
	$(PLANTED) 'data race' env $(TSAN) --test planted -- --ignored data_race
	$(CARGO) test --quiet --locked --release --manifest-path $(MEMORY)/loom/Cargo.toml --target-dir $(MEMORY_OUT)/loom
