//go:build !asan

package tokenpin

import "testing"

// The address sanitizer allocates on its own account.
func TestNothingAllocates(t *testing.T) {
	a := must(New(testConfig()))
	ring := must(NewKeyRing(testConfig().CookieKeys, nil))
	slots := must(NewSlots(testConfig().Slots))
	draining := must(NewSlots([]SlotConfig{{"a", SlotStatus{State: StateDraining, Weight: 1}}}))
	fresh, pinned := testRequest(), pinnedRequest(t, a)
	keyed := testRequest()
	keyed.Consumers, keyed.ConsumerTrusted, keyed.Tried = []string{"alice"}, true, []int32{1}
	many := pinnedRequest(t, a)
	many.Cookies = append(many.Cookies, "a=b", "c=d", "e=f")
	minted := must(a.Decide(fresh))
	buffer, value := make([]byte, 0, MaxSetCookie), string(minted.value[:])
	hashes, selected := make([]uint64, 64), make([]int32, 64)
	placementKey, key := testConfig().PlacementKey, Key{Kind: KindConsumer, Key: "alice"}
	values := make([]string, 0, 4)
	attributes := Attributes{Secure: true}
	failed := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for what, call := range map[string]func(){
		"decide, minting":  func() { _, err := a.Decide(fresh); failed(err) },
		"decide, pinned":   func() { _, err := a.Decide(pinned); failed(err) },
		"decide, a key":    func() { _, err := a.Decide(keyed); failed(err) },
		"decide, 4 fields": func() { _, err := a.Decide(many); failed(err) },
		"finish":           func() { _, _, err := a.Finish(buffer, &minted, 200); failed(err) },
		"set slot":         func() { failed(a.SetSlot(0, Up)) },
		"slot":             func() { _, _, err := a.GetSlot(0); failed(err) },
		"classify":         func() { _, err := a.Classify("GET", "/v1/files/1"); failed(err) },
		"select":           func() { _, err := slots.Select(StrategyJump, Filter{}, 1); failed(err) },
		"select Higress":   func() { _, err := slots.SelectHigress(Filter{}, 1, Key{Kind: KindConsumer, Key: "alice"}); failed(err) },
		"select batch":     func() { failed(slots.SelectBatch(selected, StrategyJump, Filter{}, hashes)) },
		"key hash":         func() { _, err := KeyHash(&placementKey, "scope", key); failed(err) },
		"last resort":      func() { _, err := draining.Select(StrategyJump, Filter{Anonymous: true}, 1); failed(err) },
		"jump":             func() { _, err := Jump(1, 2); failed(err) },
		"append cookie":    func() { _, err := ring.Encode(buffer, "a", "", Key{}, Cookie{}); failed(err) },
		"read cookie":      func() { _, _, err := ring.Decode("a", "", Key{}, Limits{}, 0, value); failed(err) },
		"cookie values":    func() { CookieValues(values, pinned.Cookies[0], "theme") },
		"strip nothing":    func() { CookieStrip("theme=dark", "pin") },
		"set cookie":       func() { _, err := SetCookieWrite(buffer, "a", "b", &attributes, 1); failed(err) },
		"stamp":            func() { fresh.Stamp() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
