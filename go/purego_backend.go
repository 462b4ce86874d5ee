//go:build !cgo || purego

package tokenpin

// Backend is "cgo" where the C library does the work, and "go" in pure Go. Both give the same answers.
const Backend = "go"

type (
	affinity = pureAffinity
	slots    = pureSlots
	ring     = pureRing
	backend  = pure
)

func newAffinity(config *Config) (*affinity, error) { return newPureAffinity(config) }

func newSlots(config []SlotConfig) (slots, error) { return newPureSlots(config) }

func newRing(keys []CookieKey, placementKey *Secret) (*ring, error) {
	return newPureRing(keys, placementKey)
}
