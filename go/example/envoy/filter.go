//go:build cgo && linux

// Command envoy is a filter for Envoy's dynamic modules, in Go: a small one, to show that the Go
// module works inside Envoy. It pins anonymous sessions by their cookie, and consumers by the
// header that the configuration names.
//
//	go build -buildmode=c-shared -o libtokenpin_go.so .
//
// Its configuration is a google.protobuf.Struct; see config below, and envoy.yaml.in. The filter
// written in C++, which does more, is in the checkout's envoy folder.
package main

/*
#include "envoy.h"

#cgo noescape log_error
#cgo noescape get_header
#cgo noescape remove_header
#cgo noescape set_header
#cgo noescape add_header
#cgo noescape refuse
*/
import "C"

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"runtime/cgo"
	"strconv"
	"unsafe"

	"github.com/tokenpin/tokenpin/go"
)

func main() {} // of a shared object: never called

// config is the filter's configuration. Secrets are names of environment variables.
type config struct {
	PlacementKey   string `json:"placement_key"` // of 32 hexadecimal digits
	CookieKey      string `json:"cookie_key"`    // of 32 hexadecimal digits
	CookieName     string `json:"cookie_name"`   // empty for the default
	Insecure       bool   `json:"insecure"`      // for plain HTTP: the cookie is not Secure
	ConsumerHeader string `json:"consumer_header"`
	Tokens         []struct {
		Identity string `json:"identity"`
		Token    string `json:"token"`
	} `json:"tokens"`
}

// filterConfig is shared by all workers and not changed.
type filterConfig struct {
	affinity       *tokenpin.Affinity
	cookieName     string
	consumerHeader string
	authorizations []string
}

func newFilterConfig(text []byte) (*filterConfig, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	t := tokenpin.DefaultConfig()
	t.CookieKeys = make([]tokenpin.CookieKey, 1)
	t.CookieName, t.Attributes.Secure = c.CookieName, !c.Insecure
	if err := errors.Join(
		secret(t.PlacementKey[:], c.PlacementKey),
		secret(t.CookieKeys[0].Secret[:], c.CookieKey),
	); err != nil {
		return nil, err
	}
	made := &filterConfig{consumerHeader: c.ConsumerHeader}
	for _, token := range c.Tokens {
		t.Slots = append(t.Slots, tokenpin.SlotConfig{Identity: token.Identity, Status: tokenpin.Up})
		made.authorizations = append(made.authorizations, "Bearer "+os.Getenv(token.Token))
	}
	var err error
	if made.affinity, err = tokenpin.New(&t); err != nil {
		return nil, err
	}
	made.cookieName, err = made.affinity.CookieName("")
	return made, err
}

func secret(into []byte, variable string) error {
	raw, err := hex.DecodeString(os.Getenv(variable))
	if err != nil || len(raw) != len(into) {
		return errors.New(variable + " is not 32 hexadecimal digits")
	}
	copy(into, raw)
	return nil
}

// filter is one stream. Envoy calls it on one thread at a time.
type filter struct {
	config   *filterConfig
	decision tokenpin.Decision
	decided  bool
}

// headers are those of a stream's request or response.
type headers struct {
	envoy unsafe.Pointer
	which C.int
}

func chars(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// view is Envoy's memory: gone when the hook returns or a header is changed.
func view(b C.envoy_buffer) string {
	return unsafe.String((*byte)(unsafe.Pointer(b.ptr)), int(b.length))
}

// views appends the values of a header.
func (h headers) views(to []string, name string) []string {
	key, n := chars(name)
	var value C.envoy_buffer
	for i := C.size_t(0); bool(C.get_header(h.envoy, h.which, key, n, i, &value)); i++ {
		to = append(to, view(value))
	}
	return to
}

func (h headers) first(name string) string {
	var values [1]string
	if found := h.views(values[:0], name); len(found) > 0 {
		return found[0]
	}
	return ""
}

func (h headers) set(name, value string) {
	key, n := chars(name)
	text, length := chars(value)
	C.set_header(h.envoy, h.which, key, n, text, length)
}

func (h headers) add(name, value string) {
	key, n := chars(name)
	text, length := chars(value)
	C.add_header(h.envoy, h.which, key, n, text, length)
}

// replace puts other values in the place of a header's.
func (h headers) replace(name string, values []string) {
	key, n := chars(name)
	C.remove_header(h.envoy, h.which, key, n)
	for _, value := range values {
		h.add(name, value)
	}
}

// onRequest says whether the request continues.
func (f *filter) onRequest(h headers) bool {
	var consumers, cookies [4]string
	request := tokenpin.Request{
		Method: h.first(":method"), Target: h.first(":path"), Cookies: h.views(cookies[:0], "cookie"),
	}
	if f.config.consumerHeader != "" {
		request.Consumers, request.ConsumerTrusted = h.views(consumers[:0], f.config.consumerHeader), true
	}
	request.Stamp()
	decision, err := f.config.affinity.Decide(&request)
	if err != nil || decision.Slot == tokenpin.NoSlot {
		body, n := chars(`{"error":{"message":"No account is available.","type":"gateway_error","param":null,"code":"no_account_available"}}`)
		C.refuse(h.envoy, body, n)
		return false
	}
	f.decision, f.decided = decision, true
	var kept []string
	for _, field := range request.Cookies {
		if rest := tokenpin.CookieStrip(field, f.config.cookieName); rest != "" {
			kept = append(kept, string([]byte(rest))) // a view otherwise
		}
	}
	h.replace("cookie", kept)
	h.set("authorization", f.config.authorizations[decision.Slot])
	return true
}

func (f *filter) onResponse(h headers) {
	if !f.decided {
		return
	}
	status, _ := strconv.Atoi(h.first(":status"))
	var lines [4]string
	var kept []string
	ours := false
	for _, line := range h.views(lines[:0], "set-cookie") {
		if tokenpin.SetCookieMatches(line, f.config.cookieName) {
			ours = true
		} else {
			kept = append(kept, string([]byte(line)))
		}
	}
	if ours {
		h.replace("set-cookie", kept)
	}
	var buffer [256]byte
	if line, answer, err := f.config.affinity.Finish(buffer[:0], &f.decision, status); err == nil &&
		answer == tokenpin.AnswerSetCookie {
		h.add("set-cookie", string(line))
	}
}

// The hooks. Envoy keeps handles, never Go pointers. A panic must not unwind into Envoy; Go ends
// the process instead.

//export envoy_dynamic_module_on_http_filter_config_new
func envoy_dynamic_module_on_http_filter_config_new(envoy unsafe.Pointer, name, text C.envoy_buffer) C.uintptr_t {
	made, err := newFilterConfig([]byte(view(text)))
	if err != nil {
		message, n := chars("tokenpin: " + err.Error())
		C.log_error(message, n)
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(made))
}

//export envoy_dynamic_module_on_http_filter_config_destroy
func envoy_dynamic_module_on_http_filter_config_destroy(handle C.uintptr_t) {
	cgo.Handle(handle).Delete()
}

//export envoy_dynamic_module_on_http_filter_new
func envoy_dynamic_module_on_http_filter_new(handle C.uintptr_t, envoy unsafe.Pointer) C.uintptr_t {
	return C.uintptr_t(cgo.NewHandle(&filter{config: cgo.Handle(handle).Value().(*filterConfig)}))
}

//export envoy_dynamic_module_on_http_filter_destroy
func envoy_dynamic_module_on_http_filter_destroy(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

//export envoy_dynamic_module_on_http_filter_request_headers
func envoy_dynamic_module_on_http_filter_request_headers(
	envoy unsafe.Pointer, handle C.uintptr_t, endOfStream C.bool,
) C.int {
	if !cgo.Handle(handle).Value().(*filter).onRequest(headers{envoy, C.REQUEST_HEADER}) {
		return C.STOP_ITERATION
	}
	return C.CONTINUE
}

//export envoy_dynamic_module_on_http_filter_response_headers
func envoy_dynamic_module_on_http_filter_response_headers(
	envoy unsafe.Pointer, handle C.uintptr_t, endOfStream C.bool,
) C.int {
	cgo.Handle(handle).Value().(*filter).onResponse(headers{envoy, C.RESPONSE_HEADER})
	return C.CONTINUE
}
