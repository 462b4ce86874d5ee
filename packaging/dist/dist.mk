# What is released: the files themselves, and that they are the same wherever they are built.

BUILDS += dist-files
CHECKS += dist
# make check installs: what writes the bill of materials, by pip into build/sbom, for dist

DIST := $(BUILD)/dist
DIST_HERE := packaging/dist

SBOM_VENV := $(BUILD)/sbom
$(SBOM_VENV)/installed: checks/supply/sbom-requirements.txt
	@echo 'installing $< into $(@D) (once)'
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# The time of the commit, in whatever asks for one.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

.PHONY: maven
maven: wasm
	rm -rf $(JVM_OUT)/repository
	$(MVN) --activate-profiles release -DskipTests -Dmaven.install.skip deploy \
	  -DaltDeploymentRepository=here::file://$(abspath $(JVM_OUT))/repository

.PHONY: dist-files
dist-files: lib envoy-filter wasm-filter python-wheel js-package maven $(SBOM_VENV)/installed ## every file of a release, from the last commit, in build/dist
	$(DIST_HERE)/files.sh $(BUILD) $(VERSION) $(HOST)
	$(SBOM_VENV)/bin/python -B checks/supply/sbom.py $(DIST)
	cd $(DIST) && LC_ALL=C sha256sum -- * > SHA256SUMS

.PHONY: dist
dist: envoy-venv $(JS_OUT)/installed nginx-ready ## the same from two clones, compared byte for byte, and each file installed in an empty place
	$(DIST_HERE)/twice.sh $(BUILD)
	$(DIST_HERE)/install.sh $(BUILD) $(VERSION) $(HOST)
