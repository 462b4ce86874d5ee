# Installs the library for programs in C and C++. README.md beside this file says what goes where.

BUILDS += install uninstall

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
INSTALL ?= install

PKGCONFIGDIR := $(LIBDIR)/pkgconfig
CMAKEDIR := $(LIBDIR)/cmake/tokenpin
BAZELDIR := $(LIBDIR)/bazel/tokenpin
DOCDIR := $(PREFIX)/share/doc/tokenpin

HEADERS := $(wildcard include/*.h include/*.hpp)
# For parsers that are no compilers.
FFI_DECLARATIONS := include/tokenpin.ffi
LICENCES := $(wildcard LICENSE-*)

# Paths between installed files are relative, so that the tree can be moved.
relative = $$(realpath -sm --relative-to='$(1)' '$(2)')

# A template, filled in. A 32-bit library is useless to a 64-bit program: the fifth byte of an ELF
# file is 1 for 32 bits and 2 for 64.
define fill
	sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@SOVERSION@|$(SOVERSION)|g' -e 's|@SONAME@|$(SONAME)|g' \
	  -e "s|@PREFIX_FROM_PKGCONFIGDIR@|$(call relative,$(PKGCONFIGDIR),$(PREFIX))|g" \
	  -e "s|@LIBDIR_FROM_PREFIX@|$(call relative,$(PREFIX),$(LIBDIR))|g" \
	  -e "s|@INCLUDEDIR_FROM_PREFIX@|$(call relative,$(PREFIX),$(INCLUDEDIR))|g" \
	  -e "s|@INCLUDEDIR_FROM_LIBDIR@|$(call relative,$(LIBDIR),$(INCLUDEDIR))|g" \
	  -e "s|@POINTER_SIZE@|$$((4 * $$(od -An -tu1 -j4 -N1 $(SHARED))))|g" \
	  packaging/$(1).in > '$(DESTDIR)$(2)/$(1)'
	chmod 644 '$(DESTDIR)$(2)/$(1)'
endef

.PHONY: install-paths
install-paths:
	@for folder in '$(PREFIX)' '$(LIBDIR)' '$(INCLUDEDIR)'; do case $$folder in \
	  /*) ;; *) echo "PREFIX, LIBDIR and INCLUDEDIR are absolute, which '$$folder' is not" >&2; exit 1;; \
	  esac; done

.PHONY: install
install: install-paths lib ## into PREFIX (LIBDIR, INCLUDEDIR), under DESTDIR
	$(INSTALL) -d -m 755 '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(PKGCONFIGDIR)' \
	  '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(BAZELDIR)/include' '$(DESTDIR)$(BAZELDIR)/lib' '$(DESTDIR)$(DOCDIR)'
	$(INSTALL) -m 644 $(HEADERS) $(FFI_DECLARATIONS) '$(DESTDIR)$(INCLUDEDIR)'
	$(INSTALL) -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)'
	$(INSTALL) -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)'
	ln -sf $(notdir $(SHARED)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libtokenpin.so'
	$(INSTALL) -m 644 $(LICENCES) '$(DESTDIR)$(DOCDIR)'
	$(call fill,tokenpin.pc,$(PKGCONFIGDIR))
	$(call fill,tokenpin-config.cmake,$(CMAKEDIR))
	$(call fill,tokenpin-config-version.cmake,$(CMAKEDIR))
	$(call fill,BUILD.bazel,$(BAZELDIR))
	$(call fill,MODULE.bazel,$(BAZELDIR))
	$(call fill,WORKSPACE,$(BAZELDIR))
	for library in libtokenpin.a $(SONAME); do \
	  ln -sf "../../../$$library" '$(DESTDIR)$(BAZELDIR)/lib'; done
	for header in $(notdir $(HEADERS)); do \
	  ln -sf "$(call relative,$(BAZELDIR)/include,$(INCLUDEDIR))/$$header" '$(DESTDIR)$(BAZELDIR)/include'; done

.PHONY: uninstall
uninstall: install-paths ## removes the files of `make install`, with the same variables
	rm -f $(foreach header,$(notdir $(HEADERS) $(FFI_DECLARATIONS)),'$(DESTDIR)$(INCLUDEDIR)/$(header)') \
	  $(foreach library,libtokenpin.a libtokenpin.so $(SONAME) $(notdir $(SHARED)),'$(DESTDIR)$(LIBDIR)/$(library)') \
	  '$(DESTDIR)$(PKGCONFIGDIR)/tokenpin.pc'
	rm -rf '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(BAZELDIR)' '$(DESTDIR)$(DOCDIR)'
