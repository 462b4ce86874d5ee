# The jar for the JVM, the filter for Spring Cloud Gateway, and their tests.

BUILDS += jar
TESTS += jvm
CHECKS += jvm-hosts
# make test installs: Maven and a JDK, if missing, and Maven's plugins, into Maven's own repository
# make check installs: Spring Cloud Gateway, by Maven into its own repository

JVM := bindings/jvm
JVM_OUT := $(BUILD)/jvm
# A JDK of 22 or later builds the whole jar, with java.lang.foreign; the result runs on 17.
# `make jvm` uses any JDK from 17 on, and `make jvm-hosts`, a part of `make check`, needs both.
mvn_with = checks/need.sh mvn maven 'it builds the jar' && home=$$($(JVM)/jdk.sh $(1)) && \
  JAVA_HOME=$$home mvn --quiet --batch-mode --strict-checksums --file $(JVM)/pom.xml \
  -Dtokenpin.root='$(CURDIR)' -Dtokenpin.build='$(abspath $(BUILD))'
MVN = $(call mvn_with,22)
JVM_ANY = $(JVM)/jdk.sh 17 > /dev/null 2>&1 || checks/need.sh javac default-jdk-headless 'it builds the jar'
JVM_OLDEST = $$($(JVM)/jdk.sh 17 21 2> /dev/null || $(JVM)/jdk.sh 17)
JVM_SPRING := -Dtest=GatewayTest -Dsurefire.failIfNoSpecifiedTests=false

.PHONY: jar
jar: wasm ## the jar for the JVM and those that it needs, in build/jvm/jars
	$(MVN) --projects tokenpin package

.PHONY: jvm-random
jvm-random:
	$(PYTHON) -B $(JVM)/random.py $(JVM_OUT)/random.json 1500

.PHONY: jvm
jvm: wasm jvm-random ## the jar: vectors, random cases, threads and the programs of its page, on an old Java
	@$(JVM_ANY)
	@$(JVM)/jdk.sh 17 21 > /dev/null || echo 'SKIPPED: Java 17 to 21; the newest runs the tests' >&2
	@$(JVM)/jdk.sh 22 > /dev/null || echo 'SKIPPED: compiling java.lang.foreign' >&2
	old=$(JVM_OLDEST) && $(call mvn_with,17) -Dtest.java="$$old/bin/java" --projects tokenpin integration-test
	$(JVM)/readme.sh $(JVM)/README.md $(JVM_OUT)/jars $(JVM_OUT)/readme "$(JVM_OLDEST)"
	examples/run.sh "$(JVM_OLDEST)/bin/java" --class-path '$(JVM_OUT)/jars/*' examples/Pin.java

# The lint of the Java files.
.PHONY: jvm-lint
jvm-lint:
	@$(JVM_ANY)
	@if $(JVM)/jdk.sh 21 > /dev/null; then $(call mvn_with,21) spotless:check; \
	  else echo 'SKIPPED: the formatter for Java, which runs on 21 and later' >&2; fi

# Each line starts another JVM, because the library is chosen once.
.PHONY: jvm-hosts
jvm-hosts: wasm lib jvm-random ## the jar on the newest Java, by both backends, and the filter in Spring Cloud Gateway
	@$(JVM)/jdk.sh 17 21 > /dev/null # which make jvm, a part of make check too, has run on
	$(MVN) --projects tokenpin integration-test
	$(MVN) --projects tokenpin integration-test -Dtokenpin.backend=native
	$(JVM)/readme.sh $(JVM)/README.md $(JVM_OUT)/jars $(JVM_OUT)/readme "$$($(JVM)/jdk.sh 22)"
	$(MVN) integration-test -Dtokenpin.backend=native

# Each line starts another JVM.
JVM_SPEED := -Xms256m --class-path '$(JVM_OUT)/bench/jars/*:$(JVM_OUT)/bench/tokenpin-bench-$(VERSION).jar'
.PHONY: bench-jvm
bench-jvm: wasm lib ## the cost of calls from Java, compared with Guava's HMAC and its consistent hash
	$(MVN) --activate-profiles bench --projects tokenpin,bench package
	"$$($(JVM)/jdk.sh 17 21)/bin/java" $(JVM_SPEED) io.github.tokenpin.bench.Speed
	"$$($(JVM)/jdk.sh 22)/bin/java" $(JVM_SPEED) io.github.tokenpin.bench.Speed
	"$$($(JVM)/jdk.sh 22)/bin/java" --enable-native-access=ALL-UNNAMED -Dtokenpin.backend=native \
	  -Dtokenpin.library=$(LIB)/libtokenpin.so $(JVM_SPEED) io.github.tokenpin.bench.Speed
