package tokenpinhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

const clients = 500

// replicas are two gateways with equal configurations.
func replicas(t *testing.T, change func(*tokenpin.Config)) [2]*Pin {
	t.Helper()
	var made [2]*Pin
	for i := range made {
		made[i] = &Pin{
			Affinity: newAffinity(t, change), ConsumerHeader: "X-Consumer", SessionHeader: "X-Session", CarrierHeader: "Carried",
			IDHint: func(r *http.Request) string { return r.Header.Get("X-Client") },
			Scope:  func(r *http.Request) string { return r.Header.Get("X-Scope") },
		}
	}
	return made
}

// However a client is known, two replicas with equal configurations send it to one account:
// that of the specification, which shared vectors fix for all implementations.
func TestReplicasAgree(t *testing.T) {
	for _, strategy := range []tokenpin.Strategy{
		tokenpin.StrategyJump, tokenpin.StrategyRendezvous, tokenpin.StrategyHigressFNV1aModulo,
	} {
		var config tokenpin.Config
		pins := replicas(t, func(c *tokenpin.Config) {
			c.Strategy, c.CombineKeys, c.PromptCache = strategy, true, true
			for i := range 5 {
				c.Slots = append(c.Slots, tokenpin.SlotConfig{Identity: fmt.Sprint(i), Status: tokenpin.Up})
			}
			config = *c
		})
		slots, err := tokenpin.NewSlots(config.Slots)
		if err != nil {
			t.Fatal(err)
		}
		selected := func(scope string, key tokenpin.Key) int32 {
			hash, err := tokenpin.KeyHash(&config.PlacementKey, scope, key)
			if err != nil {
				t.Fatal(err)
			}
			var slot int32
			if strategy == tokenpin.StrategyHigressFNV1aModulo {
				slot, err = slots.SelectHigress(tokenpin.Filter{}, hash, key)
			} else {
				slot, err = slots.Select(strategy, tokenpin.Filter{}, hash)
			}
			if err != nil {
				t.Fatal(err)
			}
			return slot
		}
		served := map[string]map[int32]bool{}
		for i := range clients {
			name := fmt.Sprintf("client %d", i)
			hint, err := pins[0].Affinity.IDHint(name)
			if err != nil {
				t.Fatal(err)
			}
			for source, c := range map[string]struct {
				header []string
				scope  string
				key    tokenpin.Key
			}{
				"consumer": {[]string{"X-Consumer", name}, "", tokenpin.Key{Kind: tokenpin.KindConsumer, Key: name}},
				"session":  {[]string{"X-Session", name}, "", tokenpin.Key{Kind: tokenpin.KindSession, Key: name}},
				"combined": {[]string{"X-Consumer", name, "X-Session", "s"}, "",
					tokenpin.Key{Kind: tokenpin.KindCombined, Key: name, Session: "s"}},
				"scoped": {[]string{"X-Consumer", name, "X-Scope", "s"}, "s",
					tokenpin.Key{Kind: tokenpin.KindConsumer, Key: name}},
				"hint": {[]string{"X-Client", name}, "", tokenpin.Key{Kind: tokenpin.KindAnonymous, Key: string(hint[:])}},
			} {
				want := selected(c.scope, c.key)
				for _, path := range []string{"/v1/responses", "/v1/chat/completions"} {
					for replica, pin := range pins {
						_, decision := ask(pin, withHeader(httptest.NewRequest("POST", path, nil), c.header...))
						if decision.Slot != want {
							t.Fatalf("%v: %s %q at replica %d: %v, not slot %d", strategy, source, name, replica, decision, want)
						}
					}
				}
				if served[source] == nil {
					served[source] = map[int32]bool{}
				}
				served[source][want] = true
			}
			// One begins at one replica and continues at the other, with a cookie or what it
			// carries.
			one, other := pins[i%2], pins[1-i%2]
			first, decision := ask(one, post())
			cookie := first.Result().Cookies()[0]
			_, again := ask(other,
				withHeader(httptest.NewRequest("GET", "/v1/responses/1", nil), "Cookie", cookie.Name+"="+cookie.Value))
			first, carried := ask(one, post("Carried", ""))
			_, carriedAgain := ask(other, post("Carried", first.Header().Get("Carried")))
			if again.Slot != decision.Slot || carriedAgain.Slot != carried.Slot || again.Source != tokenpin.SourceCookie ||
				carriedAgain.Source != tokenpin.SourceCookie {
				t.Fatalf("%v: %v, then %v; %v, then %v", strategy, decision, again, carried, carriedAgain)
			}
		}
		for source, slots := range served {
			if len(slots) != len(config.Slots) {
				t.Errorf("%v: %s: only %v serve", strategy, source, slots)
			}
		}
	}
}

// A bad hint joins no one.
func TestHintsThatAreNone(t *testing.T) {
	pins := replicas(t, nil)
	for hint, accounts := range map[string]int{
		"": len(tokens), strings.Repeat("x", tokenpin.MaxKey+1): len(tokens),
		"x": 1, "\x00": 1, strings.Repeat("x", tokenpin.MaxKey): 1,
	} {
		served := map[int32]bool{}
		for i := range 60 { // of three accounts one is left out: below 1e-10
			_, decision := ask(pins[i%2], post("X-Client", hint))
			served[decision.Slot] = true
		}
		if len(served) != accounts {
			t.Errorf("%d bytes: %v", len(hint), served)
		}
	}
}
