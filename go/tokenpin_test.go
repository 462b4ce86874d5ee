package tokenpin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func testConfig() *Config {
	c := DefaultConfig()
	c.PlacementKey = Secret([]byte("a placement key!"))
	c.CookieKeys = []CookieKey{{ID: 1, Role: RoleSign, Secret: Secret([]byte("a cookie secret!"))}}
	c.Slots = []SlotConfig{{"account-a", Up}, {"account-b", Up}, {"account-c", Up}}
	return &c
}

func testRequest() *Request {
	r := &Request{Method: "POST", Target: "/v1/responses"}
	r.Stamp()
	return r
}

// pinnedRequest is one that brings a valid cookie.
func pinnedRequest(t testing.TB, a *Affinity) *Request {
	r := testRequest()
	d, err := a.Decide(r)
	if err != nil || !d.SetsCookie() {
		t.Fatalf("no cookie: %v, %v", d, err)
	}
	name, err := a.CookieName("")
	if err != nil {
		t.Fatal(err)
	}
	r.Cookies = []string{"theme=dark; " + name + "=" + string(d.value[:])}
	return r
}

func TestErrorsAreFound(t *testing.T) {
	for number := Status(-1); number < 50; number++ {
		name, _ := number.text()
		known := name != ""
		var status Status
		wrapped := fmt.Errorf("around: %w", error(&ConfigError{Status: number}))
		if !errors.Is(wrapped, number) || !errors.As(wrapped, &status) || status != number {
			t.Errorf("%d is not found", number)
		}
		if known == (number.String() == fmt.Sprint(int(number))) || !strings.HasPrefix(number.Error(), "tokenpin: ") {
			t.Errorf("%d: %q, %q", number, number.String(), number.Error())
		}
	}
	err := &ConfigError{ErrWeight, FieldSlots, 3}
	if err.Error() != "tokenpin: slots[3]: the weight is over 65536" {
		t.Error(err)
	}
	if VerdictBadTag.String() != "bad_tag" || Verdict(99).String() != "99" {
		t.Error(VerdictBadTag, Verdict(99))
	}
}

type enum interface {
	fmt.Stringer
	valid() bool
}

// enums are all but Status, in the order of tokenpin_enum.
var enums = []func(uint8) enum{
	func(n uint8) enum { return Field(n) },
	func(n uint8) enum { return Kind(n) },
	func(n uint8) enum { return State(n) },
	func(n uint8) enum { return Strategy(n) },
	func(n uint8) enum { return Role(n) },
	func(n uint8) enum { return Verdict(n) },
	func(n uint8) enum { return SameSite(n) },
	func(n uint8) enum { return Group(n) },
	func(n uint8) enum { return Policy(n) },
	func(n uint8) enum { return Source(n) },
	func(n uint8) enum { return Outcome(n) },
	func(n uint8) enum { return PinState(n) },
	func(n uint8) enum { return KeyReason(n) },
	func(n uint8) enum { return Answer(n) },
	func(n uint8) enum { return IDVerdict(n) },
	func(n uint8) enum { return IDs(n) },
	func(n uint8) enum { return Mode(n) },
	func(n uint8) enum { return KeyKind(n) },
	func(n uint8) enum { return IDOwner(n) },
	func(n uint8) enum { return ForeignSeals(n) },
	func(n uint8) enum { return Framing(n) },
	func(n uint8) enum { return Refusal(n) },
}

func TestValuesHaveNames(t *testing.T) {
	for which, value := range enums {
		for n := range 256 {
			if v := value(uint8(n)); v.valid() == (v.String() == fmt.Sprint(n)) {
				t.Errorf("enum %d, %d: %v, valid: %t", which+1, n, v, v.valid())
			}
		}
	}
}

func TestEveryVerdictHasARank(t *testing.T) {
	ranks := map[int]bool{}
	for n := range verdictNames {
		ranks[rank(Verdict(n))] = true
	}
	if ranks[-1] || len(ranks) != len(verdictNames) || len(checks) != len(verdictNames) {
		t.Error(checks)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Config)
		want  ConfigError
	}{
		{func(c *Config) { *c = Config{} }, ConfigError{}},
		{func(c *Config) { c.PlacementKey = Secret{} }, ConfigError{ErrZeroSecret, FieldPlacementKey, 0}},
		{func(c *Config) { c.CookieKeys[0].Secret = c.PlacementKey }, ConfigError{ErrDuplicateSecret, FieldCookieKeys, 0}},
		{func(c *Config) { c.Slots[2].Status.Weight++ }, ConfigError{ErrWeight, FieldSlots, 2}},
		{func(c *Config) { c.Slots[1] = c.Slots[0] }, ConfigError{ErrDuplicateIdentity, FieldSlots, 1}},
		{func(c *Config) { c.Rules = []Rule{{Pattern: "a"}, {Pattern: "b//c"}} }, ConfigError{ErrPattern, FieldRules, 1}},
		{func(c *Config) { c.Attributes.Secure = false }, ConfigError{ErrNamePrefix, FieldSecure, 0}},
	} {
		config := testConfig()
		c.spoil(config)
		a, err := New(config)
		var refused *ConfigError
		if a != nil || !errors.As(err, &refused) || c.want.Status != StatusOK && *refused != c.want {
			t.Errorf("got %v, want %v", err, &c.want)
		}
	}
	for _, slots := range [][]SlotConfig{nil, {{"", Up}}, {{"a", Up}, {"a", Up}}} {
		if s, err := NewSlots(slots); s != nil || err == nil {
			t.Error("accepted", slots)
		}
	}
	if _, err := NewSlots([]SlotConfig{{"a", Up}, {"b", Up}, {"a", Up}}); !reflect.DeepEqual(err,
		error(&ConfigError{ErrDuplicateIdentity, FieldSlots, 2})) {
		t.Error(err)
	}
}

func TestArguments(t *testing.T) {
	slots := must(NewSlots(testConfig().Slots))
	batch := func(selected, hashes int, strategy Strategy) error {
		return slots.SelectBatch(make([]int32, selected), strategy, Filter{}, make([]uint64, hashes))
	}
	_, selectErr := slots.Select(StrategyHigressFNV1aModulo, Filter{}, 1)
	_, higressErr := slots.SelectHigress(Filter{}, 1, Key{Kind: KindConsumer})
	_, getErr := slots.GetSlot(3)
	_, jumpErr := Jump(1, 0)
	_, keyErr := KeyHash(nil, "", Key{Kind: KindConsumer, Key: "a"})
	_, lineErr := SetCookieWrite(nil, "a", "b", nil, 0)
	for i, c := range []struct{ got, want error }{
		{batch(2, 3, StrategyJump), ErrLength},
		{batch(3, 3, StrategyHigressFNV1aModulo), ErrStrategy},
		{batch(3, 3, 3), ErrBadEnum},
		{batch(3, 3, StrategyJump), nil},
		{batch(0, 0, StrategyJump), nil},
		{selectErr, ErrStrategy},
		{higressErr, ErrKeyLength},
		{slots.SetSlot(-1, Up), ErrSlotRange},
		{slots.SetSlot(3, Up), ErrSlotRange},
		{slots.SetSlot(0, SlotStatus{State: StateVacant}), ErrVacant},
		{slots.SetSlot(0, SlotStatus{Until: -1}), ErrUntil},
		{getErr, ErrSlotRange},
		{jumpErr, ErrBucketCount},
		{keyErr, ErrNullPointer},
		{lineErr, ErrNullPointer},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%d: got %v, want %v", i, c.got, c.want)
		}
	}
	if got := CookieStrip("a=1; b=2", "a"); got != "b=2" {
		t.Error(got)
	}
	if got := CookieStrip("p=n=1", "p=n"); got != "p=n=1" || SetCookieMatches("p=n=1", "p=n") ||
		CookieValues(nil, "p=n=1", "p=n") != nil {
		t.Error("a name that is none was found")
	}
	if got := CookieValues(nil, "ü=1; b=2", "ü"); !slices.Equal(got, []string{"1"}) {
		t.Error("a name of other bytes was not found:", got)
	}
}

func TestClosed(t *testing.T) {
	a := must(New(testConfig()))
	d := must(a.Decide(testRequest()))
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	_, decideErr := a.Decide(testRequest())
	_, _, finishErr := a.Finish(nil, &d, 200)
	_, _, slotErr := a.GetSlot(0)
	_, findErr := a.Find("account-a")
	_, nameErr := a.CookieName("")
	_, hintErr := a.IDHint("a")
	_, classifyErr := a.Classify("", "")
	_, fingerprintErr := a.Fingerprint()
	_, liveErr := a.LiveFingerprint(0)
	ring := must(NewKeyRing(testConfig().CookieKeys, nil))
	_, _, readErr := ring.Decode("a", "", Key{}, Limits{}, 0, "")
	if readErr != nil || ring.Close() != nil {
		t.Error("the ring")
	}
	_, appendErr := ring.Encode(nil, "a", "", Key{}, Cookie{})
	_, _, readErr = ring.Decode("a", "", Key{}, Limits{}, 0, "")
	for i, err := range []error{decideErr, finishErr, a.SetSlot(0, Up), slotErr, findErr, nameErr, hintErr,
		classifyErr,
		fingerprintErr, liveErr, appendErr, readErr} {
		if !errors.Is(err, ErrNotInitialised) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if a.Capacity() != 0 {
		t.Error("Capacity")
	}
	var zero Affinity
	if _, err := zero.Decide(testRequest()); !errors.Is(err, ErrNotInitialised) {
		t.Error(err)
	}
}

// Decisions, changes and Close concurrently: for the race detector, the address sanitizer and the
// garbage collector.
func TestConcurrency(t *testing.T) {
	for range 20 {
		a := must(New(testConfig()))
		slots := must(NewSlots(testConfig().Slots))
		request := pinnedRequest(t, a)
		var group sync.WaitGroup
		for range 4 {
			group.Add(2)
			go func() {
				defer group.Done()
				r := *request
				buffer := make([]byte, 0, MaxSetCookie)
				for range 200 {
					d, err := a.Decide(&r)
					if errors.Is(err, ErrNotInitialised) {
						return
					}
					if err != nil || d.Verdict != VerdictValid {
						t.Errorf("%v, %v", d, err)
						return
					}
					if _, _, err := a.Finish(buffer, &d, 200); err != nil && !errors.Is(err, ErrNotInitialised) {
						t.Error(err)
					}
					if slot, err := slots.Select(StrategyJump, Filter{}, rand.Uint64()); err != nil || slot == NoSlot {
						t.Error(slot, err)
					}
				}
			}()
			go func() {
				defer group.Done()
				for i := range 200 {
					status := SlotStatus{Weight: uint32(i), State: State(i % 3)}
					if err := a.SetSlot(int32(i%3), status); err != nil && !errors.Is(err, ErrNotInitialised) {
						t.Error(err)
					}
					if err := slots.SetSlot(0, SlotStatus{State: State(i % 3)}); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		runtime.GC()
		a.Close()
		runtime.GC()
		group.Wait()
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	a := must(New(testConfig()))
	d := must(a.Decide(testRequest()))
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "config", testConfig(), "decision", d)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&logged, verb, *testConfig())
		fmt.Fprintf(&logged, verb, d)
		fmt.Fprintf(&logged, verb, &d)
	}
	logged.Write(must(json.Marshal(testConfig())))
	for _, secret := range []string{"a placement key!", "a cookie secret!", fmt.Sprintf("%x", "a cookie secret!"),
		"97 32 112", "97,32,112", string(d.value[:])} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("%q is in %s", secret, logged.String())
		}
	}
	if text := fmt.Sprint(d); !strings.HasPrefix(text, "slot ") || !strings.Contains(text, "source minted") {
		t.Error(text)
	}
}

func TestStaleDecision(t *testing.T) {
	a, config := must(New(testConfig())), testConfig()
	config.Scope = "other"
	b := must(New(config))
	d := must(a.Decide(testRequest()))
	dst, answer, err := b.Finish([]byte("x"), &d, 200)
	if string(dst) != "x" || answer != AnswerNothing || !errors.Is(err, ErrStale) {
		t.Error(string(dst), answer, err)
	}
	for _, status := range []int{-1, 1 << 16, 1<<16 + 200, 404} {
		if dst, answer, err := a.Finish(nil, &d, status); dst != nil || answer != AnswerNothing || err != nil {
			t.Error(status, string(dst), answer, err)
		}
	}
}

// Patterns match the decoded path; a name goes over slashes that are encoded.
func TestEncodedSlashesInNames(t *testing.T) {
	for target, want := range map[string]Group{
		"/models/m:batchGenerateContent": GroupStateful, "/models/m:batchGenerateContent%2F": GroupStateful,
		"/models/m:batchGenerateContent%2fx": GroupStateful, "/models/m:batchGenerateContent%2F/": GroupStateful,
		"/models/a%2Fm:batchGenerateContent": GroupStateless, "/models/a%2Ffiles/b": GroupStateless,
		"/models/a%2Fb/files": GroupStateful, "/models%2Fa%2Ffiles": GroupStateful, "/models%2Ffiles%2Ffiles": GroupStateful,
		"/models/files%2Ffiles": GroupStateless, "/models/files%2Ffiles/files": GroupStateful,
		"/models%2Ffiles": GroupStateless,
	} {
		class, err := Classify(nil, false, false, "GET", target)
		check(t, "group", err, nil, target)
		check(t, "group", class.Group, want, target)
	}
}
