//go:build !cgo || purego

package tokenpin

// Backend is "cgo" where the C library does the work, and "go" in pure Go. Both give the same
// answers.
const Backend = "go"

type (
	affinity = puregoAffinity
	slots    = puregoSlots
	ring     = puregoRing
	backend  = purego
	idRing   = puregoIDRing
	summary  = puregoSummary
	rewriter = puregoRewriter
)

func newIDRing(keys []CookieKey, placementKey *Secret) (*idRing, error) {
	return newPuregoIDRing(keys, placementKey)
}

func (s *IDSummary) pure() *puregoSummary {
	if s == nil {
		return nil
	}
	return &s.summary
}

func newAffinity(config *Config) (*affinity, error) { return newPuregoAffinity(config) }

func newSlots(config []SlotConfig) (slots, error) { return newPuregoSlots(config) }

func newRing(keys []CookieKey, placementKey *Secret) (*ring, error) {
	return newPuregoRing(keys, placementKey)
}
