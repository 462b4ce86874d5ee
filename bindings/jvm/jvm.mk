# The jar for the JVM, the filter for Spring Cloud Gateway, and their tests.

BUILDS += jar
TESTS += jvm
CHECKS += jvm-hosts
# make test installs: Maven, if there is none, and what it builds the jar with, into its own repository
# make check installs: Spring Cloud Gateway, by Maven into its own repository

JVM := bindings/jvm
JVM_OUT := $(BUILD)/jvm
# A JDK of 22 or later builds, for its java.lang.foreign; what it builds runs on 17.
MVN = checks/need.sh mvn maven 'it builds the jar' && home=$$($(JVM)/jdk.sh 22) && \
  JAVA_HOME=$$home mvn --quiet --batch-mode --strict-checksums --file $(JVM)/pom.xml -Dtokenpin.root='$(CURDIR)' -Dtokenpin.build='$(abspath $(BUILD))'
JVM_SPRING := -Dtest=GatewayTest -Dsurefire.failIfNoSpecifiedTests=false
JVM_OLD := -Dtest.java="$$old/bin/java"

.PHONY: jar
jar: wasm ## the jar for the JVM and those that it needs, in build/jvm/jars
	$(MVN) --projects tokenpin package

.PHONY: jvm-random
jvm-random:
	$(PYTHON) -B $(JVM)/random.py $(JVM_OUT)/random.json 1500

.PHONY: jvm
jvm: wasm jvm-random ## the jar: vectors, random cases, threads and the programs of its page, on Java 17
	old=$$($(JVM)/jdk.sh 17 21) && $(MVN) $(JVM_OLD) --projects tokenpin integration-test
	$(JVM)/readme.sh $(JVM)/README.md $(JVM_OUT)/jars $(JVM_OUT)/readme "$$($(JVM)/jdk.sh 17 21)"

# Each line is a JVM of its own: the library is chosen once.
.PHONY: jvm-hosts
jvm-hosts: wasm lib jvm-random ## the same on the newest Java, by both backends, and the filter in Spring Cloud Gateway
	$(MVN) --projects tokenpin integration-test
	$(MVN) --projects tokenpin integration-test -Dtokenpin.backend=native
	$(JVM)/readme.sh $(JVM)/README.md $(JVM_OUT)/jars $(JVM_OUT)/readme "$$($(JVM)/jdk.sh 22)"
	$(MVN) integration-test -Dtokenpin.backend=native

# Each line is a JVM of its own.
JVM_SPEED := -Xms256m --class-path '$(JVM_OUT)/bench/jars/*:$(JVM_OUT)/bench/tokenpin-bench-$(VERSION).jar'
.PHONY: bench-jvm
bench-jvm: wasm lib ## what calls from Java cost, beside Guava's HMAC and its consistent hash
	$(MVN) --activate-profiles bench --projects tokenpin,bench package
	"$$($(JVM)/jdk.sh 17 21)/bin/java" $(JVM_SPEED) io.github.tokenpin.bench.Speed
	"$$($(JVM)/jdk.sh 22)/bin/java" $(JVM_SPEED) io.github.tokenpin.bench.Speed
	"$$($(JVM)/jdk.sh 22)/bin/java" --enable-native-access=ALL-UNNAMED -Dtokenpin.backend=native \
	  -Dtokenpin.library=$(LIB)/libtokenpin.so $(JVM_SPEED) io.github.tokenpin.bench.Speed
