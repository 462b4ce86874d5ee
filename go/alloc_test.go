//go:build !asan

package tokenpin

import (
	"io"
	"testing"
)

// endless is a body that does not end.
type endless struct{ body []byte }

func (e *endless) Read(p []byte) (int, error) { return copy(p, e.body), nil }

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
	ids := newIDWorld(ModeSeal)
	sealer, use, into := must(New(ids.config)), &IDUse{IDs: IDsItems, Upstream: "up.example", Origin: "https://a.example"}, make([]byte, 0, 512)
	id := string(must(ids.now.Seal(nil, "", "", ids.pins[0], "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41")))
	marked := string(must(ids.now.Mark([]byte("gAAAA"), "", "", 1, "gAAAA")))
	body := []byte(`{"id":"file-1","\u0069d":"file-2","x":["y"],"results_url":"https://up.example/files/file-1","encrypted_content":"gAAA",` +
		`"input":[{"id":"msg_1","content":"x"}]} `)
	request, writer := make([]byte, 0, len(body)+199), must(sealer.NewSealWriter(use, nil, 0, FramingJSON, io.Discard))
	must(writer.Write([]byte(`{"a":[`)))
	answer := must(sealer.NewSealReader(use, nil, 0, FramingJSON, &endless{body}))
	for range 100 { // until the buffers are as large as they get
		must(writer.Write(append(body, ',')))
		must(answer.Read(into[:cap(into)]))
	}
	whole := append([]byte(`{"previous_response_id":"`+id+`",`), body[1:]...)
	summary := new(IDSummary)
	withIDs := testRequest()
	withIDs.IDs = new(IDSummary)
	must(sealer.OpenTarget(use, withIDs.IDs, "/v1/responses/"+id))
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
		"select Higress": func() {
			_, err := slots.SelectHigress(Filter{}, 1, Key{Kind: KindConsumer, Key: "alice"})
			failed(err)
		},
		"select batch":  func() { failed(slots.SelectBatch(selected, StrategyJump, Filter{}, hashes)) },
		"key hash":      func() { _, err := KeyHash(&placementKey, "scope", key); failed(err) },
		"last resort":   func() { _, err := draining.Select(StrategyJump, Filter{Anonymous: true}, 1); failed(err) },
		"jump":          func() { _, err := Jump(1, 2); failed(err) },
		"append cookie": func() { _, err := ring.Encode(buffer, "a", "", Key{}, Cookie{}); failed(err) },
		"read cookie":   func() { _, _, err := ring.Decode("a", "", Key{}, Limits{}, 0, value); failed(err) },
		"cookie values": func() { CookieValues(values, pinned.Cookies[0], "theme") },
		"strip nothing": func() { CookieStrip("theme=dark", "pin") },
		"set cookie":    func() { _, err := SetCookieWrite(buffer, "a", "b", &attributes, 1); failed(err) },
		"stamp":         func() { fresh.Stamp() },
		"decide, ids":   func() { _, err := sealer.Decide(withIDs); failed(err) },
		"seal":          func() { _, err := ids.now.Seal(into, "", "", 1, "resp_1"); failed(err) },
		"open":          func() { _, _, err := ids.now.Open(into, "", "", id); failed(err) },
		"mark":          func() { _, err := ids.now.Mark(into, "", "", 1, "gAAA"); failed(err) },
		"open mark":     func() { _, _, _, err := ids.now.OpenMark("", "", marked); failed(err) },
		"open in place": func() {
			_, _, err := sealer.OpenInPlace(use, summary, append(request, whole...))
			failed(err)
		},
		"open target":  func() { _, err := sealer.OpenTarget(use, summary, "/v1/responses?after=x"); failed(err) },
		"seal target":  func() { _, err := sealer.SealTarget(use, summary, 0, "/v1/files?after=x"); failed(err) },
		"write a body": func() { _, err := writer.Write(body); failed(err) },
		"read a body":  func() { _, err := answer.Read(into[:cap(into)]); failed(err) },
		"report":       func() { summary.Report() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
