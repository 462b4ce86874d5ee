package tokenpin

// Key is an affinity key. The zero Key is that of an anonymous request.
type Key struct {
	Kind Kind
	// Key is a consumer name or a session key, 1 to MaxKey bytes; for a combined key the consumer
	// name; for an anonymous key the 16 bytes of the id, or empty where the id is not needed.
	Key string
	// Session is the session key of a combined key. It is ignored for the other kinds.
	Session string
}

// IdentityHash returns the identity hash of the account that identity names, 1 byte or more.
func IdentityHash(identity string) (uint64, error) {
	hash, s := backend{}.identityHash(identity)
	return hash, s.err()
}

// KeyHash returns the hash of an affinity key, from which selection starts.
func KeyHash(placementKey *Secret, scope string, key Key) (uint64, error) {
	if placementKey == nil {
		return 0, ErrNullPointer
	}
	hash, s := backend{}.keyHash(placementKey, scope, &key)
	return hash, s.err()
}

// Jump computes jump consistent hash: the bucket, 0 to buckets - 1, of key. buckets is 1 to
// MaxBuckets; otherwise the error is ErrBucketCount. It takes about ln(buckets) steps.
func Jump(key uint64, buckets int32) (int32, error) {
	bucket, s := backend{}.jump(key, buckets)
	return bucket, s.err()
}

// NoSlot is the number for no slot.
const NoSlot int32 = -1

// SlotStatus is the state, weight and until of a slot.
type SlotStatus struct {
	// Until is the unix second from which a draining or down slot counts as up again: a cooldown
	// without a timer. 0 is never; at most MaxUntil.
	Until int64
	// Weight is 0 to MaxWeight, the full weight. It is absolute. At 0 the slot takes only sessions
	// that are pinned to it.
	Weight uint32
	State  State
}

// Up is the status of a slot that serves at full weight.
var Up = SlotStatus{Weight: MaxWeight}

// SlotConfig is one slot of a token set.
type SlotConfig struct {
	// Identity names the account behind the token and outlives the token's secret; unique in the
	// set. Empty for a vacant slot.
	Identity string
	// Status is the first status. For a vacant slot the state is StateVacant, and the rest is ignored.
	Status SlotStatus
}

// Filter selects the candidates.
type Filter struct {
	// Now is the wall clock in unix seconds. A negative one counts as 0.
	Now int64
	// Tried are the slots that this request has tried already.
	Tried []int32
	// Anonymous says that the key is an anonymous id. Then a draining slot is a candidate only if no
	// other slot is.
	Anonymous bool
}

// Slots is a token set for selection only. All its methods may be called from any number of
// goroutines concurrently.
type Slots struct{ slots slots }

// NewSlots makes a token set of 1 to MaxBuckets slots. An error is a [ConfigError].
func NewSlots(config []SlotConfig) (*Slots, error) {
	if len(config) == 0 || len(config) > MaxBuckets {
		return nil, &ConfigError{Status: ErrSlotCount, Field: FieldSlots}
	}
	made, err := newSlots(config)
	if err != nil {
		return nil, err
	}
	identities := make(map[string]struct{}, len(config))
	for i := range config {
		identity := config[i].Identity
		if config[i].Status.State == StateVacant {
			continue
		}
		if _, known := identities[identity]; known {
			return nil, &ConfigError{Status: ErrDuplicateIdentity, Field: FieldSlots, Index: i}
		}
		identities[identity] = struct{}{}
	}
	return &Slots{made}, nil
}

// Len is the number of slots, vacant ones included.
func (s *Slots) Len() int { return len(s.slots) }

// SetSlot changes state, weight and until of a slot atomically. A vacant slot stays vacant, and no
// other slot becomes vacant.
func (s *Slots) SetSlot(slot int32, status SlotStatus) error {
	if slot < 0 || int(slot) >= len(s.slots) {
		return ErrSlotRange
	}
	return s.slots.setSlot(slot, &status).err()
}

// GetSlot reads state, weight and until of a slot atomically.
func (s *Slots) GetSlot(slot int32) (SlotStatus, error) {
	if slot < 0 || int(slot) >= len(s.slots) {
		return SlotStatus{}, ErrSlotRange
	}
	status, st := s.slots.getSlot(slot)
	return status, st.err()
}

// Select returns the slot that serves the key with this hash, or NoSlot if no slot is a candidate.
// Under StrategyJump it takes about ln(Len) steps, and linear time only if the probed slots do not
// serve. Under StrategyRendezvous it takes linear time. StrategyHigressFNV1aModulo needs the key
// itself, and is refused with ErrStrategy. Select allocates nothing.
func (s *Slots) Select(strategy Strategy, filter Filter, hash uint64) (int32, error) {
	slot, st := s.slots.selectOne(strategy, &filter, hash)
	return slot, st.err()
}

// SelectHigress returns the slot that Higress ai-proxy would choose for a key, for migration. hash
// is the KeyHash of the key: if that slot cannot serve, weighted rendezvous with the hash takes
// over. It takes linear time, and allocates nothing.
func (s *Slots) SelectHigress(filter Filter, hash uint64, key Key) (int32, error) {
	slot, st := s.slots.selectHigress(&filter, hash, &key)
	return slot, st.err()
}

// SelectBatch works like Select for many hashes: selected[i] becomes the slot of hashes[i].
// ErrLength says that the slices differ in length. Over cgo it is one call for all hashes, and much
// faster for each than Select. It allocates nothing.
func (s *Slots) SelectBatch(selected []int32, strategy Strategy, filter Filter, hashes []uint64) error {
	if len(selected) != len(hashes) {
		return ErrLength
	}
	return s.slots.selectBatch(selected, strategy, &filter, hashes).err()
}

func unix(now int64) uint64 { return uint64(max(now, 0)) }
