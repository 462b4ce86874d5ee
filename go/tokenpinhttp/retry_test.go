package tokenpinhttp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// tries sends one request through a Pin, and retries as often as it may: the accounts in order, and
// the response.
func tries(pin *Pin, r *http.Request) (slots []int32, response *httptest.ResponseRecorder) {
	response = httptest.NewRecorder()
	pin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context()) // as of a request that a proxy makes
		defer cancel()
		for again := true; again && len(slots) <= len(tokens); again = Retry(ctx) {
			decision, _ := DecisionFrom(r.Context())
			slots = append(slots, decision.Slot)
		}
	})).ServeHTTP(response, r)
	return slots, response
}

// A request that nothing ties to an account may be tried on each of them, once.
func TestRetryWithoutState(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, func(c *tokenpin.Config) { c.PromptCache = true }), ConsumerHeader: "X-Consumer"}
	for _, path := range []string{"/v1/embeddings", "/v1/chat/completions"} {
		for range 20 {
			request := httptest.NewRequest("POST", path, nil)
			request.Header.Set("X-Consumer", "alice")
			slots, _ := tries(pin, request)
			slices.Sort(slots)
			if !slices.Equal(slots, []int32{0, 1, 2}) {
				t.Errorf("%s: %v", path, slots)
			}
		}
	}
	// If only one account can serve, its answer stays.
	setAll(t, pin.Affinity, tokenpin.SlotStatus{State: tokenpin.StateDown})
	if err := pin.Affinity.SetSlot(1, tokenpin.Up); err != nil {
		t.Fatal(err)
	}
	if slots, _ := tries(pin, httptest.NewRequest("POST", "/v1/embeddings", nil)); !slices.Equal(slots, []int32{1}) {
		t.Error(slots)
	}
}

// A creation is retried only where the client will come back to the account that made it.
func TestRetryOfCreations(t *testing.T) {
	pin := &Pin{
		Affinity: newAffinity(t, nil), ConsumerHeader: "X-Consumer", CarrierHeader: "Carried",
		Existing: func(r *http.Request) bool { return r.Header.Get("Names") != "" },
	}
	for range 20 {
		// No one knows whether this client keeps a cookie, or one with a name.
		for _, header := range [][]string{
			nil, {"X-Consumer", "alice"}, {"Cookie", "theme=dark"}, {"Names", "1", "Carried", ""},
		} {
			if slots, _ := tries(pin, post(header...)); len(slots) != 1 {
				t.Errorf("%q: %v", header, slots)
			}
		}
		// These have shown it: the last account is the session's.
		for _, header := range [][]string{{"Carried", ""}, {"Cookie", cookieName + "=an old one"}} {
			slots, response := tries(pin, post(header...))
			again := httptest.NewRequest("GET", "/v1/responses/1", nil)
			if value := response.Header().Get("Carried"); value != "" {
				again.Header.Set("Carried", value)
			} else {
				again.Header.Set("Cookie", cookieOf(response))
			}
			_, decision := ask(pin, again)
			if len(slots) != len(tokens) || decision.Outcome != tokenpin.OutcomePinned || decision.Slot != slots[len(slots)-1] {
				t.Errorf("%q: %v, then %v", header, slots, decision)
			}
			// And there it stays.
			next := post()
			next.Header = again.Header
			if slots, _ := tries(pin, next); !slices.Equal(slots, []int32{decision.Slot}) {
				t.Errorf("%q: %v after %v", header, slots, decision)
			}
		}
	}
}

func TestRetryWithoutADecision(t *testing.T) {
	if Retry(context.Background()) {
		t.Error("retried nothing")
	}
	pin := &Pin{Affinity: newAffinity(t, nil)}
	pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		before, _ := DecisionFrom(r.Context())
		if err := pin.Affinity.Close(); err != nil {
			t.Fatal(err)
		}
		if after, ok := DecisionFrom(r.Context()); Retry(r.Context()) || !ok || after != before {
			t.Error(before, after)
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/embeddings", nil))
}
