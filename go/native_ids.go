//go:build cgo && !purego

package tokenpin

/*
#include "native.h"

// See native.h.
#cgo noescape tokenpin_id_summary_init
#cgo nocallback tokenpin_id_summary_init
#cgo noescape tokenpin_id_summary_report
#cgo nocallback tokenpin_id_summary_report
#cgo noescape tp_id_seal
#cgo nocallback tp_id_seal
#cgo noescape tp_id_open
#cgo nocallback tp_id_open
#cgo noescape tp_id_mark
#cgo nocallback tp_id_mark
#cgo noescape tp_id_open_mark
#cgo nocallback tp_id_open_mark
#cgo noescape tp_id_owner
#cgo nocallback tp_id_owner
#cgo noescape tokenpin_affinity_id_key
#cgo nocallback tokenpin_affinity_id_key
#cgo noescape tp_target
#cgo nocallback tp_target
#cgo noescape tp_open_in_place
#cgo nocallback tp_open_in_place
#cgo noescape tp_rewrite
#cgo nocallback tp_rewrite
#cgo noescape tokenpin_decision_refusal
#cgo nocallback tokenpin_decision_refusal
*/
import "C"

import (
	"runtime"
	"slices"
	"unsafe"
)

// nativeIDRing is a ring of the C library, in Go memory.
type nativeIDRing struct{ c *C.tokenpin_id_ring }

func newNativeIDRing(keys []CookieKey, placementKey *Secret) (*nativeIDRing, error) {
	r := &nativeIDRing{new(C.tokenpin_id_ring)}
	var e C.tokenpin_config_error
	if C.tokenpin_id_ring_init(r.c, (*C.tokenpin_cookie_key)(unsafe.Pointer(unsafe.SliceData(keys))),
		C.size_t(len(keys)), (*C.uint8_t)(unsafe.Pointer(placementKey)), &e) != C.TOKENPIN_STATUS_OK {
		return nil, configError(&e)
	}
	runtime.AddCleanup(r, func(c *C.tokenpin_id_ring) { C.tokenpin_id_ring_wipe(c) }, r.c)
	return r, nil
}

func (r *nativeIDRing) sealID(dst []byte, scope, owner string, pin uint64, id string) ([]byte, Status) {
	var sealed [MaxSealedID]byte
	var n C.size_t
	s := Status(C.tp_id_seal(r.c, str(scope), str(owner), C.uint64_t(pin), str(id),
		(*C.char)(unsafe.Pointer(&sealed)), &n))
	return append(dst, sealed[:n]...), s
}

func (r *nativeIDRing) openID(dst []byte, scope, owner, text string) ([]byte, OpenedID, Status) {
	var native [MaxID]byte
	var n C.size_t
	var opened OpenedID
	s := Status(C.tp_id_open(r.c, str(scope), str(owner), str(text), (*C.char)(unsafe.Pointer(&native)), &n,
		(*C.uint8_t)(&opened.Verdict), (*C.uint64_t)(&opened.Pin), (*C.uint8_t)(&opened.Key)))
	return append(dst, native[:n]...), opened, s
}

func (r *nativeIDRing) markContent(dst []byte, scope, owner string, pin uint64, content string) ([]byte, Status) {
	var mark [IDMarkLen]byte
	if s := Status(C.tp_id_mark(r.c, str(scope), str(owner), C.uint64_t(pin), str(content),
		(*C.char)(unsafe.Pointer(&mark)))); s != StatusOK {
		return dst, s
	}
	return append(dst, mark[:]...), StatusOK
}

func (r *nativeIDRing) openMark(scope, owner, text string) (n int, verdict IDVerdict, pin uint64, s Status) {
	var length C.size_t
	s = Status(C.tp_id_open_mark(r.c, str(scope), str(owner), str(text),
		&length, (*C.uint8_t)(&verdict), (*C.uint64_t)(&pin)))
	return int(length), verdict, pin, s
}

// nativeSummary is a summary of the C library.
type nativeSummary struct {
	c     C.tokenpin_id_summary
	begun bool
}

// A summary of pure Go fits where one of the library is, for the tests that compare the two.
var _ [unsafe.Sizeof(C.tokenpin_id_summary{}) - unsafe.Sizeof(puregoSummary{})]byte

func (s *IDSummary) pure() *puregoSummary {
	if s == nil {
		return nil
	}
	return (*puregoSummary)(unsafe.Pointer(&s.c))
}

// native is NULL for nil.
func (s *IDSummary) native() *C.tokenpin_id_summary {
	if s == nil {
		return nil
	}
	if !s.begun {
		C.tokenpin_id_summary_init(&s.c)
		s.begun = true
	}
	return &s.c
}

func (s *IDSummary) report() IDReport {
	var r C.tokenpin_id_report
	C.tokenpin_id_summary_report(s.native(), &r)
	return IDReport{Opened: uint32(r.opened), Plain: uint32(r.plain), EchoesLost: uint32(r.echoes_lost),
		Verdict: IDVerdict(r.verdict), Keys: [2]uint8{uint8(r.keys[0]), uint8(r.keys[1])}, Refused: r.refused == 1,
		Unreadable: r.unreadable == 1, Existing: r.existing == 1, Seals: r.seals == 1, Unstored: r.unstored == 1,
		ChangesResponse: r.changes_response == 1, Uploads: r.uploads == 1, Downloads: r.downloads == 1}
}

func (s *IDSummary) quoted() string {
	var r C.tokenpin_id_report
	C.tokenpin_id_summary_report(s.native(), &r)
	return string(unsafe.Slice((*byte)(&r.quoted[0]), r.quoted_len))
}

func nativeUse(use *IDUse) C.tp_use {
	return C.tp_use{scope: str(use.Scope), owner: str(use.Owner), upstream: str(use.Upstream), origin: str(use.Origin),
		ids: C.uint8_t(use.IDs), has_mode: switched(use.HasMode), mode: C.uint8_t(use.Mode)}
}

func (a *nativeAffinity) idOwner(r *Request) (string, Status) {
	first, second := firstTwo(r.Consumers)
	var has C.uint8_t
	s := Status(C.tp_id_owner(a.c, str(first), str(second), switched(r.ConsumerTrusted), &has))
	if has == 0 {
		return "", s
	}
	return first, s
}

func (a *nativeAffinity) idKey(number uint8) (string, Status) {
	var name C.tokenpin_bytes
	s := Status(C.tokenpin_affinity_id_key(a.c, C.uint8_t(number), &name))
	return C.GoStringN((*C.char)(name.ptr), C.int(name.len)), s
}

func (a *nativeAffinity) openTarget(use *IDUse, summary *IDSummary, target string) (string, Status) {
	return a.target(use, summary, NoSlot, false, target)
}

func (a *nativeAffinity) sealTarget(use *IDUse, summary *IDSummary, slot int32, target string) (string, Status) {
	return a.target(use, summary, slot, true, target)
}

func (a *nativeAffinity) target(
	use *IDUse, summary *IDSummary, slot int32, sealing bool, target string,
) (string, Status) {
	var enough [1024]byte // for most targets
	buffer := enough[:]
	for {
		var n C.size_t
		s := Status(C.tp_target(a.c, nativeUse(use), summary.native(), C.uint32_t(slot), switched(sealing), str(target),
			(*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), &n))
		switch {
		case s == ErrBufferTooSmall:
			buffer = make([]byte, n)
		case s != StatusOK || string(buffer[:n]) == target:
			return target, s
		default:
			return string(buffer[:n]), s
		}
	}
}

func (a *nativeAffinity) openInPlace(use *IDUse, summary *IDSummary, body []byte) (int, uint32, Status) {
	var n C.size_t
	var unexpected C.uint32_t
	s := Status(C.tp_open_in_place(a.c, nativeUse(use), summary.native(),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(body))),
		C.size_t(len(body)), &n, &unexpected))
	return int(n), uint32(unexpected), s
}

// nativeRewriter is a body on its way.
type nativeRewriter struct {
	a        *nativeAffinity
	use      IDUse
	summary  *IDSummary
	progress C.tp_progress
	slot     C.uint32_t
	sealing  bool
	state    C.tokenpin_id_sealer // or a tokenpin_id_opener
}

var _ [unsafe.Sizeof(C.tokenpin_id_sealer{}) - unsafe.Sizeof(C.tokenpin_id_opener{})]byte

func (r *nativeRewriter) open(a *nativeAffinity, use *IDUse, summary *IDSummary) Status {
	r.a, r.use, r.summary = a, *use, summary
	if s := Status(C.tokenpin_id_opener_init((*C.tokenpin_id_opener)(unsafe.Pointer(&r.state)))); s != StatusOK {
		return s
	}
	_, s := r.rewrite(nil, nil)
	return s
}

func (r *nativeRewriter) seal(a *nativeAffinity, use *IDUse, summary *IDSummary, slot int32, framing Framing) Status {
	r.a, r.use, r.summary, r.slot, r.sealing = a, *use, summary, C.uint32_t(slot), true
	if s := Status(C.tokenpin_id_sealer_init(&r.state, C.uint8_t(framing))); s != StatusOK {
		return s
	}
	_, s := r.rewrite(nil, nil)
	return s
}

func (r *nativeRewriter) rewrite(dst, chunk []byte) ([]byte, Status) {
	return r.call(dst, chunk, false)
}

func (r *nativeRewriter) end(dst []byte) ([]byte, Status) { return r.call(dst, nil, true) }

// call is one call of the library, unless there is no room for what ids become.
func (r *nativeRewriter) call(dst, chunk []byte, end bool) ([]byte, Status) {
	for {
		dst = slices.Grow(dst, len(chunk)+2*C.TP_PUT_ROOM)
		buffer, capacity := room(dst)
		s := Status(C.tp_rewrite(r.a.c, nativeUse(&r.use), r.summary.native(), r.slot, switched(r.sealing), &r.state,
			(*C.char)(unsafe.Pointer(unsafe.SliceData(chunk))), C.size_t(len(chunk)), switched(end),
			buffer, capacity, &r.progress))
		runtime.KeepAlive(r.a)
		if s != StatusOK {
			return dst, s
		}
		dst = dst[:len(dst)+int(r.progress.written)]
		if chunk = chunk[r.progress.taken:]; len(chunk) == 0 {
			return dst, StatusOK
		}
	}
}

func (r *nativeRewriter) changed() uint32    { return uint32(r.progress.changed) }
func (r *nativeRewriter) unexpected() uint32 { return uint32(r.progress.unexpected) }

func (native) refusal(d *Decision) (refusal Refusal, status uint16) {
	C.tokenpin_decision_refusal((*C.tokenpin_decision)(unsafe.Pointer(d)), (*C.uint16_t)(&status), (*C.uint8_t)(&refusal))
	return refusal, status
}
