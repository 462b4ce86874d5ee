# The package for JavaScript: Node, Workers, browsers, Deno and Bun.

BUILDS += js-package
TESTS += js
CHECKS += js-hosts
# make test installs: TypeScript, Biome, fastify and hono, by npm into build/js
# make check installs: workerd, Deno, Bun and OpenAI's client, by npm into build/js/hosts
# make check installs: Debian's chromium, for js-hosts

JS := bindings/js
JS_OUT := $(BUILD)/js
JS_PACKAGE := $(JS_OUT)/package
JS_BIN := $(JS_OUT)/node_modules/.bin
JS_NPM := npm --no-audit --no-fund --no-update-notifier --loglevel=error
JS_HOSTS := $(JS_OUT)/hosts
JS_SOURCES := $(JS)/package.json $(JS)/README.md $(JS)/tsconfig.json $(wildcard $(JS)/src/*.ts)

# The packages are resolved from the sources' folder, and lie in the build folder.
$(JS_OUT)/installed: $(JS)/package.json $(JS)/package-lock.json
	checks/need.sh npm npm 'it gets what $< names'
	@mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && $(JS_NPM) ci --ignore-scripts
	ln -sfn ../package $(@D)/node_modules/tokenpin
	ln -sfn ../../$(JS_OUT)/node_modules $(JS)/node_modules
	touch $@

# The comments are for people, who read them in the declarations. So is the indentation, a
# hundredth of the size. No text in the sources goes over a line's end. Of the notices, the package
# has those of the crates that the module holds.
$(JS_PACKAGE)/built: $(JS_SOURCES) $(WASM) $(JS_OUT)/installed
	rm -rf $(@D) && mkdir -p $(@D)
	cp $(JS)/package.json $(JS)/README.md LICENSE-MIT LICENSE-APACHE $(@D)
	names=$$($(CARGO) tree --locked --edges normal,no-proc-macro --features capi --prefix none | cut -d' ' -f1); \
	  awk -v names="$$(echo $$names | tr ' ' '|')" 'BEGIN { RS = "\n-----*\n"; ORS = "\n----\n" } \
	  NR == 1 || $$0 ~ "(^|, )(" names ") "' LICENSE-THIRD-PARTY > $(@D)/LICENSE-THIRD-PARTY
	$(JS_BIN)/tsc -p $(JS) --outDir $(@D)/dist --removeComments --declaration false
	sed -i 's/^ *//' $(@D)/dist/*.js
	$(JS_BIN)/tsc -p $(JS) --outDir $(@D)/dist --emitDeclarationOnly
	cp $(WASM) $(@D)/dist/tokenpin.wasm
	rm $(@D)/dist/arguments.d.ts $(@D)/dist/layout.d.ts $(@D)/dist/memory.d.ts
	touch $@

.PHONY: js-package
js-package: $(JS_PACKAGE)/built ## the package for JavaScript, in build/js/package

.PHONY: js-lint
js-lint: $(JS_OUT)/installed
	cd $(JS) && node_modules/.bin/biome ci --error-on-warnings --colors=off
	$(JS_BIN)/biome ci --error-on-warnings --colors=off --config-path=$(JS) examples/pin.mjs

.PHONY: js
js: $(JS_PACKAGE)/built ## the package for JavaScript in Node: installed, its types, vectors, the twin, the gateway
	$(JS)/tests/installed.sh $(JS_OUT)
	$(JS_BIN)/tsc -p $(JS)/tests
	cd $(JS)/tests && node --test --test-timeout=60000 *.test.js
	$(PYTHON) -B $(JS)/tests/twin.py

$(JS_HOSTS)/installed: $(JS)/tests/hosts/package.json $(JS)/tests/hosts/package-lock.json
	checks/need.sh npm npm 'it gets what $< names'
	@mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && $(JS_NPM) ci --ignore-scripts
	ln -sfn ../../package $(@D)/node_modules/tokenpin
	ln -sfn ../../../../$(JS_HOSTS)/node_modules $(JS)/tests/hosts/node_modules
	touch $@

.PHONY: js-hosts
js-hosts: $(JS_PACKAGE)/built $(JS_HOSTS)/installed ## JavaScript in workerd (OpenAI's client), Chromium, Deno, Bun
	checks/need.sh chromium chromium 'a page with the package runs in it'
	$(JS)/tests/panics.sh $(JS_OUT)
	cd $(JS)/tests/hosts && node --test --test-timeout=300000 *.test.js

.PHONY: bench-js
bench-js: $(JS_PACKAGE)/built ## the cost of calls from JavaScript, compared with cookie-signature and a jump hash
	node $(JS)/tests/speed.js
