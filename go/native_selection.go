//go:build cgo && !purego

package tokenpin

/*
#include "native.h"

// See native.h.
#cgo noescape tp_select
#cgo nocallback tp_select
#cgo noescape tp_select_higress
#cgo nocallback tp_select_higress
#cgo noescape tp_select_batch
#cgo nocallback tp_select_batch
#cgo noescape tp_slot_init
#cgo nocallback tp_slot_init
#cgo noescape tokenpin_slot_set
#cgo nocallback tokenpin_slot_set
#cgo noescape tokenpin_slot_get
#cgo nocallback tokenpin_slot_get
#cgo noescape tokenpin_jump
#cgo nocallback tokenpin_jump
#cgo noescape tp_identity_hash
#cgo nocallback tp_identity_hash
#cgo noescape tp_key_hash
#cgo nocallback tp_key_hash
*/
import "C"

import "unsafe"

// native holds the stateless functions of the C library.
type native struct{}

func (native) jump(key uint64, buckets int32) (int32, Status) {
	var bucket C.uint32_t
	s := Status(C.tokenpin_jump(C.uint64_t(key), C.uint32_t(max(buckets, 0)), &bucket))
	return int32(bucket), s
}

func (native) identityHash(identity string) (hash uint64, s Status) {
	s = Status(C.tp_identity_hash(str(identity), (*C.uint64_t)(&hash)))
	return hash, s
}

func (native) keyHash(placementKey *Secret, scope string, key *Key) (hash uint64, s Status) {
	s = Status(C.tp_key_hash((*C.uint8_t)(unsafe.Pointer(placementKey)), str(scope), C.uint8_t(key.Kind),
		str(key.Key), str(key.Session), (*C.uint64_t)(&hash)))
	return hash, s
}

// nativeSlots are slots of the C library, in Go memory.
type nativeSlots []C.tokenpin_slot

func newNativeSlots(config []SlotConfig) (nativeSlots, error) {
	slots := make(nativeSlots, len(config))
	for i := range config {
		s := Status(C.tp_slot_init(&slots[i], str(config[i].Identity),
			(*C.tokenpin_slot_status)(unsafe.Pointer(&config[i].Status))))
		if s != StatusOK {
			return nil, &ConfigError{s, FieldSlots, i}
		}
	}
	return slots, nil
}

func (s nativeSlots) setSlot(slot int32, status *SlotStatus) Status {
	return Status(C.tokenpin_slot_set(&s[slot], (*C.tokenpin_slot_status)(unsafe.Pointer(status))))
}

func (s nativeSlots) getSlot(slot int32) (status SlotStatus, st Status) {
	st = Status(C.tokenpin_slot_get(&s[slot], (*C.tokenpin_slot_status)(unsafe.Pointer(&status))))
	return status, st
}

func (s nativeSlots) selectOne(strategy Strategy, f *Filter, hash uint64) (int32, Status) {
	slot := C.uint32_t(C.TOKENPIN_SLOT_NONE)
	tried, triedCount := numbers(f.Tried)
	st := Status(C.tp_select(C.uint8_t(strategy), unsafe.SliceData(s), C.size_t(len(s)), C.uint64_t(unix(f.Now)),
		tried, triedCount, switched(f.Anonymous), C.uint64_t(hash), &slot))
	return int32(slot), st
}

func (s nativeSlots) selectHigress(f *Filter, hash uint64, key *Key) (int32, Status) {
	slot := C.uint32_t(C.TOKENPIN_SLOT_NONE)
	tried, triedCount := numbers(f.Tried)
	st := Status(C.tp_select_higress(unsafe.SliceData(s), C.size_t(len(s)), C.uint64_t(unix(f.Now)), tried,
		triedCount, switched(f.Anonymous), C.uint64_t(hash), C.uint8_t(key.Kind), str(key.Key), str(key.Session),
		&slot))
	return int32(slot), st
}

func (s nativeSlots) selectBatch(selected []int32, strategy Strategy, f *Filter, hashes []uint64) Status {
	tried, triedCount := numbers(f.Tried)
	out, count := numbers(selected)
	return Status(C.tp_select_batch(C.uint8_t(strategy), unsafe.SliceData(s), C.size_t(len(s)),
		C.uint64_t(unix(f.Now)), tried, triedCount, switched(f.Anonymous),
		(*C.uint64_t)(unsafe.SliceData(hashes)), count, out))
}
