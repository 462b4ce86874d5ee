package tokenpinhttp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

type classified struct {
	Method, Target string
	PromptCache    bool `json:"prompt_cache"`
	Group          string
	Existing       bool
}

// classes gives the table of targets and their classes that all implementations share.
func classes(t *testing.T) []classified {
	t.Helper()
	text, err := os.ReadFile("../../tests/vectors/decision_v1.json")
	if err != nil {
		t.Skip("the vectors are in the checkout alone, and not in the module")
	}
	var file struct{ Classify []classified }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Classify
}

// onTheWire reads a request as a server does. Nil for what net/http refuses.
func onTheWire(method, target string) *http.Request {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: gateway\r\n\r\n", method, target)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil
	}
	return r
}

// A target has the class of the shared table as it comes from the wire, be it encoded or not, and also behind a mux
// that cuts off a prefix, or replaces the path.
func TestPathsAreClassifiedAsOnTheWire(t *testing.T) {
	pins := map[bool]*Pin{}
	for _, on := range []bool{false, true} {
		pins[on] = &Pin{Affinity: newAffinity(t, func(c *tokenpin.Config) { c.PromptCache = on })}
	}
	asked, encoded := 0, 0
	for _, c := range classes(t) {
		r := onTheWire(c.Method, c.Target)
		if r == nil {
			continue
		}
		asked++
		if strings.Contains(c.Target, "%") {
			encoded++
		}
		check := func(how string, decision tokenpin.Decision) {
			t.Helper()
			if (decision.Source == tokenpin.SourceStateless) != (c.Group == "stateless") || decision.Existing != c.Existing {
				t.Errorf("%s: %+v: %v, existing %v", how, c, decision, decision.Existing)
			}
		}
		_, decision := ask(pins[c.PromptCache], r)
		check("plain", decision)
		if !strings.HasPrefix(c.Target, "/") {
			continue
		}
		ask := func(how string, outer func(http.Handler) http.Handler, r *http.Request) {
			t.Helper()
			made := tokenpin.Decision{Slot: tokenpin.NoSlot}
			inner := pins[c.PromptCache].Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				made, _ = DecisionFrom(r.Context())
			}))
			outer(inner).ServeHTTP(httptest.NewRecorder(), r)
			check(how, made)
		}
		ask("prefix", func(h http.Handler) http.Handler { return http.StripPrefix("/prefix", h) }, onTheWire(c.Method, "/prefix"+c.Target))
		ask("rewritten", func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, err := url.ParseRequestURI(c.Target)
				if err != nil {
					t.Fatal(err)
				}
				r.URL = u
				h.ServeHTTP(w, r)
			})
		}, onTheWire(c.Method, "/v1/models"))
		if !strings.Contains(c.Target, "%") { // a mux that knows decoded paths only
			ask("decoded", func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.URL.Path, _, _ = strings.Cut(c.Target, "?")
					h.ServeHTTP(w, r)
				})
			}, onTheWire(c.Method, "/v1/mod%65ls"))
		}
	}
	if asked < 100 || encoded < 5 {
		t.Errorf("only %d targets, %d of them encoded", asked, encoded)
	}
}
