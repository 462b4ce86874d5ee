# The files of a release, which are the same in every folder that they are built in.

BUILDS += dist-files
CHECKS += dist
# make check installs: the writer of the bill of materials, by pip into build/sbom, for dist

DIST := $(BUILD)/dist
DIST_HERE := packaging/dist

SBOM_VENV := $(BUILD)/sbom
$(SBOM_VENV)/installed: checks/supply/sbom-requirements.txt
	@echo 'installing $< into $(@D) (once)'
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# The time of the commit, for all tools that write one down.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

.PHONY: maven
maven: wasm
	rm -rf $(JVM_OUT)/repository
	$(MVN) --activate-profiles release -DskipTests -Dmaven.install.skip deploy \
	  -DaltDeploymentRepository=here::file://$(abspath $(JVM_OUT))/repository

# Archives hold the modes of files, which follow from the mask.
.PHONY: dist-files dist-built
dist-files: ## the files of a release, from the last commit, in build/dist
	umask 022 && "$$MAKE" --no-print-directory dist-built

dist-built: lib envoy-filter wasm-filter python-wheel js-package maven $(SBOM_VENV)/installed
	$(DIST_HERE)/files.sh $(BUILD) $(VERSION) $(HOST)
	$(SBOM_VENV)/bin/python -B checks/supply/sbom.py $(DIST)
	cd $(DIST) && export LC_ALL=C && sha256sum -- * > SHA256SUMS

.PHONY: dist
dist: envoy-venv $(JS_OUT)/installed nginx-ready ## a release in build/dist: built twice, compared, and installed
	$(DIST_HERE)/twice.sh $(BUILD)
	$(DIST_HERE)/install.sh $(BUILD) $(VERSION) $(HOST)
