//go:build cgo && !purego

package tokenpin

/*
#include "native.h"

// See native.h.
#cgo noescape tp_encode
#cgo nocallback tp_encode
#cgo noescape tp_decode
#cgo nocallback tp_decode
#cgo noescape tp_default_name
#cgo nocallback tp_default_name
#cgo noescape tp_cookie_next
#cgo nocallback tp_cookie_next
#cgo noescape tp_strip
#cgo nocallback tp_strip
#cgo noescape tp_set_cookie
#cgo nocallback tp_set_cookie
#cgo noescape tp_matches
#cgo nocallback tp_matches
*/
import "C"

import (
	"runtime"
	"slices"
	"unsafe"
)

// nativeRing is a key ring of the C library, in Go memory.
type nativeRing struct{ c *C.tokenpin_key_ring }

func newNativeRing(keys []CookieKey, placementKey *Secret) (*nativeRing, error) {
	r := &nativeRing{new(C.tokenpin_key_ring)}
	var e C.tokenpin_config_error
	if C.tokenpin_key_ring_init(r.c, (*C.tokenpin_cookie_key)(unsafe.Pointer(unsafe.SliceData(keys))),
		C.size_t(len(keys)), (*C.uint8_t)(unsafe.Pointer(placementKey)), &e) != C.TOKENPIN_STATUS_OK {
		return nil, configError(&e)
	}
	runtime.AddCleanup(r, func(c *C.tokenpin_key_ring) { C.tokenpin_key_ring_wipe(c) }, r.c)
	return r, nil
}

func (r *nativeRing) encode(name, scope string, key *Key, cookie *Cookie, value *[CookieValueLen]byte) Status {
	return Status(C.tp_encode(r.c, str(name), str(scope), C.uint8_t(key.Kind), str(key.Key), str(key.Session),
		(*C.tokenpin_cookie)(unsafe.Pointer(cookie)), (*C.char)(unsafe.Pointer(value))))
}

func (r *nativeRing) decode(
	name, scope string, key *Key, limits *Limits, now int64, value string, cookie *Cookie,
) (Verdict, Status) {
	var verdict C.uint8_t
	s := Status(C.tp_decode(r.c, str(name), str(scope), C.uint8_t(key.Kind), str(key.Key), str(key.Session),
		(*C.tokenpin_limits)(unsafe.Pointer(limits)), C.uint64_t(unix(now)), str(value), &verdict,
		(*C.tokenpin_cookie)(unsafe.Pointer(cookie))))
	return Verdict(verdict), s
}

func (native) cookieDefaultName(scope string) (string, Status) {
	var buffer [MaxCookieName]byte
	var n C.size_t
	s := Status(C.tp_default_name(str(scope), (*C.char)(unsafe.Pointer(&buffer)), &n))
	return string(buffer[:n]), s
}

func (native) cookieValues(dst []string, field, name string) []string {
	var offset, start, length C.size_t
	for C.tp_cookie_next(str(field), str(name), &offset, &start, &length) == C.TOKENPIN_STATUS_OK {
		dst = append(dst, field[start:start+length])
	}
	return dst
}

func (native) cookieStrip(field, name string) string {
	buffer := make([]byte, len(field))
	n := C.size_t(len(field))
	out, capacity := room(buffer[:0])
	C.tp_strip(str(field), str(name), out, capacity, &n) // it fits, so nothing can go wrong
	if int(n) == len(field) {
		return field
	}
	return string(buffer[:n])
}

func (native) setCookieWrite(dst []byte, name, value string, attributes *Attributes, maxAge uint32) ([]byte, Status) {
	grown := dst
	for {
		var n C.size_t
		buffer, capacity := room(grown)
		s := Status(C.tp_set_cookie(str(name), str(value), str(attributes.Path), str(attributes.Domain),
			switched(attributes.Secure), switched(attributes.HTTPOnly), C.uint8_t(attributes.SameSite),
			switched(attributes.Partitioned), C.uint32_t(maxAge), buffer, capacity, &n))
		switch s {
		case StatusOK:
			return grown[:len(grown)+int(n)], s
		case ErrBufferTooSmall:
			grown = slices.Grow(grown, int(n))
		default:
			return dst, s
		}
	}
}

func (native) setCookieMatches(field, name string) bool {
	var matches C.uint8_t
	C.tp_matches(str(field), str(name), &matches)
	return matches == 1
}
