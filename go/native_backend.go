//go:build cgo && !purego

package tokenpin

// Backend is "cgo" where the C library does the work, and "go" in pure Go. Both give the same
// answers.
const Backend = "cgo"

type (
	affinity = nativeAffinity
	slots    = nativeSlots
	ring     = nativeRing
	backend  = native
	idRing   = nativeIDRing
	summary  = nativeSummary
	rewriter = nativeRewriter
)

func newIDRing(keys []CookieKey, placementKey *Secret) (*idRing, error) {
	return newNativeIDRing(keys, placementKey)
}

func newAffinity(config *Config) (*affinity, error) { return newNativeAffinity(config) }

func newSlots(config []SlotConfig) (slots, error) { return newNativeSlots(config) }

func newRing(keys []CookieKey, placementKey *Secret) (*ring, error) {
	return newNativeRing(keys, placementKey)
}
