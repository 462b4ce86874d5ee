package tokenpin

import (
	"math/big"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func puregoIdentityHash(identity string) uint64 {
	s := newSip(literalKey("tokenpin.v1.acct"), 2, 4)
	s.text(identity)
	return s.sum64()
}

// puregoSlot is one slot. State, weight and until are one word, so that they change together: 2, 17
// and 45 bits.
type puregoSlot struct {
	id   uint64
	word atomic.Uint64
}

func packed(s *SlotStatus) uint64 {
	return uint64(s.State)<<62 | uint64(s.Weight)<<45 | uint64(s.Until)
}

func unpacked(word uint64) SlotStatus {
	return SlotStatus{Until: int64(word & (1<<45 - 1)), Weight: uint32(word >> 45 & (1<<17 - 1)), State: State(word >> 62)}
}

func (s *puregoSlot) status() SlotStatus { return unpacked(s.word.Load()) }

func (s *puregoSlot) vacant() bool { return s.status().State == StateVacant }

// at gives the state that counts at a time.
func (s SlotStatus) at(now uint64) State {
	if (s.State == StateDraining || s.State == StateDown) && s.Until != 0 && now >= uint64(s.Until) {
		return StateUp
	}
	return s.State
}

func (s *SlotStatus) check() Status {
	switch {
	case !s.State.valid():
		return ErrBadEnum
	case s.State == StateVacant:
		return ErrVacant
	case s.Weight > MaxWeight:
		return ErrWeight
	case s.Until < 0 || s.Until > MaxUntil:
		return ErrUntil
	}
	return StatusOK
}

// puregoSlots are the slots of a token set.
type puregoSlots []puregoSlot

func newPuregoSlots(config []SlotConfig) (puregoSlots, error) {
	slots := make(puregoSlots, len(config))
	for i := range config {
		if s := slots[i].init(&config[i]); s != StatusOK {
			return nil, &ConfigError{s, FieldSlots, i}
		}
	}
	return slots, nil
}

func (s *puregoSlot) init(config *SlotConfig) Status {
	if config.Status.State == StateVacant && config.Identity == "" {
		s.word.Store(packed(&SlotStatus{State: StateVacant}))
		return StatusOK
	}
	if !config.Status.State.valid() {
		return ErrBadEnum
	}
	if config.Identity == "" {
		return ErrIdentityEmpty
	}
	if st := config.Status.check(); st != StatusOK {
		return st
	}
	s.id = puregoIdentityHash(config.Identity)
	s.word.Store(packed(&config.Status))
	return StatusOK
}

func (s puregoSlots) setSlot(slot int32, status *SlotStatus) Status {
	if status.State == StateVacant || s[slot].vacant() && status.State.valid() {
		return ErrVacant
	}
	if st := status.check(); st != StatusOK {
		return st
	}
	s[slot].word.Store(packed(status))
	return StatusOK
}

func (s puregoSlots) getSlot(slot int32) (SlotStatus, Status) { return s[slot].status(), StatusOK }

// puregoFilter is a Filter, and one more slot that is left out, the pinned one when it cannot
// serve.
type puregoFilter struct {
	now       uint64
	tried     []int32
	anonymous bool
	without   int32
}

// weight is the weight at which a slot competes; 0 if it is no candidate.
func (f *puregoFilter) weight(slots puregoSlots, i int32) uint32 {
	status := slots[i].status()
	switch status.at(f.now) {
	case StateUp:
	case StateDraining:
		if f.anonymous {
			return 0
		}
	default:
		return 0
	}
	if i == f.without || slices.Contains(f.tried, i) {
		return 0
	}
	return status.Weight
}

// selects says whether a strategy selects by a hash.
func (s Strategy) selects() Status {
	switch {
	case !s.valid():
		return ErrBadEnum
	case s == StrategyHigressFNV1aModulo:
		return ErrStrategy
	}
	return StatusOK
}

// selectOne selects. The filter has to be within the slots: a number that is no slot leaves out
// none.
func (s puregoSlots) selectOne(strategy Strategy, f *Filter, hash uint64) (int32, Status) {
	selected := [1]int32{NoSlot}
	st := s.selectBatch(selected[:], strategy, f, []uint64{hash})
	return selected[0], st
}

func (s puregoSlots) selectHigress(f *Filter, hash uint64, key *Key) (int32, Status) {
	if st := key.check(); st != StatusOK {
		return NoSlot, st
	}
	filter := puregoFilter{unix(f.Now), f.Tried, f.Anonymous, NoSlot}
	return s.pick(StrategyHigressFNV1aModulo, &filter, hash, key), StatusOK
}

func (s puregoSlots) selectBatch(selected []int32, strategy Strategy, f *Filter, hashes []uint64) Status {
	if st := strategy.selects(); st != StatusOK {
		return st
	}
	filter := puregoFilter{unix(f.Now), f.Tried, f.Anonymous, NoSlot}
	for i, hash := range hashes {
		selected[i] = s.pick(strategy, &filter, hash, nil)
	}
	return StatusOK
}

// pick selects. key counts only under StrategyHigressFNV1aModulo.
func (s puregoSlots) pick(strategy Strategy, f *puregoFilter, hash uint64, key *Key) int32 {
	slot := NoSlot
	switch strategy {
	case StrategyJump:
		home, next := puregoJump(hash, int32(len(s))), chained(hash)
		if next>>48 < uint64(f.weight(s, home)) {
			return home
		}
		slot = s.probed(f, next)
	case StrategyHigressFNV1aModulo:
		slot = s.numbered(f, key.fnv1a())
	}
	if slot == NoSlot {
		slot = s.rendezvous(f, hash)
	}
	if slot == NoSlot && f.anonymous {
		// The last resort: nothing is up, so the candidates of a key are the slots that drain.
		keyed := *f
		keyed.anonymous = false
		return s.pick(strategy, &keyed, hash, key)
	}
	return slot
}

// chained is h_(k+1) of h_k.
func chained(hash uint64) uint64 { return mix(hash ^ 0x9e3779b97f4a7c15) }

// probed is the first slot after home that accepts; NoSlot if none does. hash is h_1.
func (s puregoSlots) probed(f *puregoFilter, hash uint64) int32 {
	for k := 1; k < 16; k++ {
		slot := puregoProbe(hash, uint32(len(s)))
		if slot >= uint32(len(s)) {
			break
		}
		hash = chained(hash)
		if hash>>48 < uint64(f.weight(s, int32(slot))) {
			return int32(slot)
		}
	}
	return NoSlot
}

// rendezvous is the contest of all candidates.
func (s puregoSlots) rendezvous(f *puregoFilter, hash uint64) int32 {
	best, champion := NoSlot, draw{}
	for i := range s {
		weight := f.weight(s, int32(i))
		if weight == 0 {
			continue
		}
		challenger := draw{mix(hash ^ s[i].id), weight}
		if best == NoSlot || challenger.beats(champion) {
			best, champion = int32(i), challenger
		}
	}
	return best
}

// numbered is the slot numbered fnv1a modulo n among the n that are not vacant; NoSlot if it is no
// candidate.
func (s puregoSlots) numbered(f *puregoFilter, fnv1a uint32) int32 {
	n := uint32(0)
	for i := range s {
		if !s[i].vacant() {
			n++
		}
	}
	if n == 0 {
		return NoSlot
	}
	wanted := fnv1a % n
	for i := range s {
		if s[i].vacant() {
			continue
		}
		if wanted == 0 {
			if f.weight(s, int32(i)) > 0 {
				return int32(i)
			}
			break
		}
		wanted--
	}
	return NoSlot
}

func puregoJump(key uint64, n int32) int32 {
	b, j := int64(-1), int64(0)
	for j < int64(n) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (2147483648.0 / float64(key>>33+1)))
	}
	return int32(b)
}

// puregoProbe is a slot number, or one of n or more that ends the probing: Ertl's jump-back hash
// down to 64.
func puregoProbe(hash uint64, n uint32) uint32 {
	low := uint32(hash & 63)
	if n <= 64 {
		return low
	}
	next := func(x uint64) uint64 { return mix(x ^ 0xd6e8feb86659fd93) }
	v := next(hash)
	u := uint32(v^v>>32) & (1<<bits.Len32(n-1) - 64)
	for w := v; u != 0; {
		q := uint32(1) << (bits.Len32(u) - 1)
		half := uint32(v >> (32 * (bits.OnesCount32(u) & 1)))
		b := q + half&(q-1)
		for range 64 {
			if b < n {
				return b
			}
			w = next(w)
			if b = uint32(w) & (2*q - 1); b < q {
				break
			}
			if b < n {
				return b
			}
			if b = uint32(w>>32) & (2*q - 1); b < q {
				break
			}
		}
		u ^= q
	}
	return low
}

type draw struct {
	r      uint64
	weight uint32
}

func (d draw) beats(other draw) bool {
	if d.weight == other.weight {
		return d.r > other.r
	}
	a, b := logarithm(d.r)*uint64(other.weight), logarithm(other.r)*uint64(d.weight)
	return a < b || a == b && d.r > other.r
}

// logarithm is L(r): -log2((r + 1) / 2^64) with 40 fraction bits.
func logarithm(r uint64) uint64 {
	x := r + 1
	if x == 0 {
		return 0
	}
	e := bits.Len64(x) - 1
	m := x << (63 - e)
	k := m >> 55 & 255
	f := m >> 31 & (1<<24 - 1)
	t := logTable()
	return 64<<40 - (uint64(e)<<40 + t[k] + (t[k+1]-t[k])*f>>24)
}

// logTable is T: round(2^40 * log2(1 + j / 256)). The digits of a binary logarithm come one by one:
// square the number, and halve it where it reached 2 (Knuth, The Art of Computer Programming,
// section 1.2.2, exercise 25). 300 bits of working precision leave the 41 digits exact.
var logTable = sync.OnceValue(func() *[257]uint64 {
	const precision, digits = 300, 41
	two := new(big.Int).Lsh(big.NewInt(2), precision)
	table := new([257]uint64)
	for j := range table {
		x := new(big.Int).Lsh(big.NewInt(int64(256+j)), precision-8)
		var log uint64
		if x.Cmp(two) == 0 {
			table[j] = 1 << 40
			continue
		}
		for range digits {
			x.Rsh(x.Mul(x, x), precision)
			log <<= 1
			if x.Cmp(two) >= 0 {
				x.Rsh(x, 1)
				log |= 1
			}
		}
		table[j] = (log + 1) >> 1
	}
	return table
})

var keyTags = [...]uint8{KindConsumer: 1, KindAnonymous: 2, KindSession: 3, KindCombined: 4}

func (k *Key) check() Status {
	short := func(s string) bool { return s != "" && len(s) <= MaxKey }
	switch {
	case !k.Kind.valid():
		return ErrBadEnum
	case k.Kind == KindAnonymous && len(k.Key) == 16:
	case k.Kind != KindAnonymous && short(k.Key) && (k.Kind != KindCombined || short(k.Session)):
	default:
		return ErrKeyLength
	}
	return StatusOK
}

// isOfForm says whether s, which check gave, is about the form of key: what C sees before all other
// arguments.
func (s Status) isOfForm(key *Key) bool {
	return s == ErrBadEnum || s != StatusOK && key.Kind == KindAnonymous
}

// addTo adds the key bytes.
func (k *Key) addTo(s *sip) {
	if k.Kind == KindCombined {
		s.counted(k.Key)
		s.text(k.Session)
	} else {
		s.text(k.Key)
	}
}

func (k *Key) hash(placementKey sipKey, scope string) uint64 {
	s := newSip(placementKey, 1, 3)
	s.u8(keyTags[k.Kind])
	s.counted(scope)
	k.addTo(&s)
	return s.sum64()
}

func (k *Key) fnv1a() uint32 {
	h := uint32(0x811c9dc5)
	add := func(b byte) { h = (h ^ uint32(b)) * 0x01000193 }
	text := func(s string) {
		for i := range len(s) {
			add(s[i])
		}
	}
	switch k.Kind {
	case KindAnonymous:
		const digits = "0123456789abcdef"
		for i := range len(k.Key) {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				add('-')
			}
			add(digits[k.Key[i]>>4])
			add(digits[k.Key[i]&15])
		}
	case KindCombined:
		for shift := 0; shift < 32; shift += 8 {
			add(byte(len(k.Key) >> shift))
		}
		text(k.Key)
		text(k.Session)
	default:
		text(k.Key)
	}
	return h
}

// purego holds the stateless functions of the backend in pure Go.
type purego struct{}

func (purego) jump(key uint64, buckets int32) (int32, Status) {
	if buckets < 1 {
		return 0, ErrBucketCount
	}
	return puregoJump(key, buckets), StatusOK
}

func (purego) identityHash(identity string) (uint64, Status) {
	if identity == "" {
		return 0, ErrIdentityEmpty
	}
	return puregoIdentityHash(identity), StatusOK
}

func (purego) keyHash(placementKey *Secret, scope string, key *Key) (uint64, Status) {
	switch s := key.check(); {
	case s.isOfForm(key):
		return 0, s
	case *placementKey == Secret{}:
		return 0, ErrZeroSecret
	case len(scope) > MaxScope:
		return 0, ErrScopeLength
	case s != StatusOK:
		return 0, s
	}
	return key.hash(newSipKey((*[16]byte)(placementKey)), scope), StatusOK
}
