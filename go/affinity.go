package tokenpin

import (
	"runtime"
	"sync/atomic"
)

// Affinity decides. It is built once from a configuration and is immutable but for the status of its slots.
// All its methods may be called from any number of goroutines at once, Close included; none waits for another.
type Affinity struct {
	// The library's memory is freed when nobody can reach what this points to, so a call that is under way
	// keeps it alive without a lock or a count.
	handle atomic.Pointer[affinity]
}

// New builds an affinity. An error is a [ConfigError].
func New(config *Config) (*Affinity, error) {
	handle, err := newAffinity(config)
	if err != nil {
		return nil, err
	}
	a := new(Affinity)
	a.handle.Store(handle)
	return a, nil
}

// Close ends the life of the affinity: later calls return ErrNotInitialised. Calls under way are not
// disturbed; the secrets are wiped and the memory is freed by the first garbage collection after the last of
// them. An affinity that is dropped without Close is wiped and freed in the same way, so where a new
// configuration takes over, drop the old affinity and let the decisions that it made be finished. The error is
// always nil.
func (a *Affinity) Close() error {
	a.handle.Store(nil)
	return nil
}

// Decide decides which slot serves a request, and prepares the cookie that goes back. Where there is an error,
// the decision names no slot: ErrScopeLength, ErrSlotRange (of Tried), ErrEntropy where randomness is needed
// and all zero, ErrTime where a cookie is to be issued after the year 2106, ErrBadEnum (of Group).
//
// It allocates nothing, unless the request has more than four Cookie fields. Its cost is about that of one
// selection, and of one SipHash for each cookie of the affinity's name, of which it looks at 64.
func (a *Affinity) Decide(r *Request) (Decision, error) {
	h := a.handle.Load()
	if h == nil {
		return Decision{Slot: NoSlot}, ErrNotInitialised
	}
	var d Decision
	status := h.decide(r, &d)
	runtime.KeepAlive(h)
	if status != StatusOK {
		return Decision{Slot: NoSlot}, status
	}
	return d, nil
}

// Finish ends a request: if its response's status is a success and there is a cookie to set, it appends what
// goes back to dst: the value of a Set-Cookie field, or the value of the carrier header. It only formats, and
// allocates only if dst has no room; MaxSetCookie bytes suffice.
//
// ErrStale says that another configuration decided: keep the affinity that decides until the response. Then,
// and with every other error, dst comes back as it was.
func (a *Affinity) Finish(dst []byte, d *Decision, status int) ([]byte, Answer, error) {
	h := a.handle.Load()
	if h == nil {
		return dst, AnswerNothing, ErrNotInitialised
	}
	if status < 0 || status > 1<<16-1 {
		status = 0 // no success either
	}
	dst, answer, s := h.finish(dst, d, uint16(status))
	runtime.KeepAlive(h)
	return dst, answer, s.err()
}

// SetSlot changes state, weight and until of a slot at once. Safe while others decide, and waits for nobody.
// Errors: ErrSlotRange, ErrWeight, ErrUntil, ErrVacant, ErrBadEnum.
func (a *Affinity) SetSlot(slot int32, status SlotStatus) error {
	h := a.handle.Load()
	if h == nil {
		return ErrNotInitialised
	}
	s := h.setSlot(slot, &status)
	runtime.KeepAlive(h)
	return s.err()
}

// Slot reads state, weight and until of a slot at once, and the identity hash of its account, 0 for a vacant
// slot.
func (a *Affinity) Slot(slot int32) (status SlotStatus, identityHash uint64, err error) {
	h := a.handle.Load()
	if h == nil {
		return SlotStatus{}, 0, ErrNotInitialised
	}
	status, identityHash, s := h.slot(slot)
	runtime.KeepAlive(h)
	return status, identityHash, s.err()
}

// Find gives the slot of the account named by identity, or NoSlot if there is none.
func (a *Affinity) Find(identity string) (int32, error) {
	h := a.handle.Load()
	if h == nil {
		return NoSlot, ErrNotInitialised
	}
	slot, s := h.find(identity)
	runtime.KeepAlive(h)
	return slot, s.err()
}

// Capacity is the number of slots, vacant ones included; 0 once closed.
func (a *Affinity) Capacity() int {
	h := a.handle.Load()
	if h == nil {
		return 0
	}
	n := h.capacity()
	runtime.KeepAlive(h)
	return n
}

// CookieName is the cookie's name for a scope, an empty one being the configured one: what has to be stripped
// from requests and responses.
func (a *Affinity) CookieName(scope string) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	name, s := h.cookieName(scope)
	runtime.KeepAlive(h)
	return name, s.err()
}

// Classify classifies a request by the configured table: its group, and whether it names existing state.
func (a *Affinity) Classify(method, target string) (group Group, existing bool, err error) {
	h := a.handle.Load()
	if h == nil {
		return 0, false, ErrNotInitialised
	}
	group, existing, s := h.classify(method, target)
	runtime.KeepAlive(h)
	return group, existing, s.err()
}

// Fingerprint is the configuration's fingerprint. Replicas that show different ones do not agree on which token
// serves a key, or on which cookies are good.
func (a *Affinity) Fingerprint() (uint64, error) {
	h := a.handle.Load()
	if h == nil {
		return 0, ErrNotInitialised
	}
	fingerprint := h.fingerprint()
	runtime.KeepAlive(h)
	return fingerprint, nil
}

// LiveFingerprint is the fingerprint of the weights, and of the states that count at now, in unix seconds. It
// takes time linear in the number of slots.
func (a *Affinity) LiveFingerprint(now int64) (uint64, error) {
	h := a.handle.Load()
	if h == nil {
		return 0, ErrNotInitialised
	}
	fingerprint := h.liveFingerprint(now)
	runtime.KeepAlive(h)
	return fingerprint, nil
}
