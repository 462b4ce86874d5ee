package tokenpinhttp

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// Two gateways in a row, with separate keys. With one name for both cookies the outer one takes
// the inner one's away, in either direction, and tells by what it sees; with its own scope
// each keeps its sessions.
func TestGatewaysInARow(t *testing.T) {
	for _, scope := range []string{"", "outer"} {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Header.Get("Authorization"), r.Header["Cookie"])
		}))
		defer upstream.Close()
		inner := httptest.NewServer((&Pin{Affinity: newAffinity(t, nil)}).Handler(
			&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, upstream.URL), Bearer(tokens...))}))
		defer inner.Close()
		affinity := newAffinity(t, func(c *tokenpin.Config) {
			c.Scope, c.PlacementKey[0], c.CookieKeys[0].Secret[0] = scope, 'x', 'x'
		})
		name, err := affinity.CookieName("")
		if err != nil {
			t.Fatal(err)
		}
		warned := false
		outer := httptest.NewTLSServer((&Pin{Affinity: affinity}).Handler(&httputil.ReverseProxy{
			Rewrite: Rewrite(parse(t, inner.URL), Bearer("g1", "g2", "g3")),
			ModifyResponse: func(r *http.Response) error {
				warned = warned || slices.ContainsFunc(r.Header["Set-Cookie"], func(line string) bool {
					return tokenpin.SetCookieMatches(line, name)
				})
				return nil
			},
		}))
		defer outer.Close()
		lost := 0
		for range 40 {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: outer.Client().Transport, Jar: jar}
			_, made := do(t, client, "POST", outer.URL+"/v1/responses")
			if _, found := do(t, client, "GET", outer.URL+"/v1/responses/1"); found != made {
				lost++
			}
		}
		if right := scope != ""; (lost == 0) != right || warned == right { // none lost by chance: below 1e-7
			t.Errorf("scope %q: %d of 40 lost, warned %v", scope, lost, warned)
		}
	}
}

// A cookie of the name that another gateway made is not used and not passed on, and the decision
// says why.
func TestCookieOfAnotherGateway(t *testing.T) {
	mine := &Pin{Affinity: newAffinity(t, nil)}
	for verdict, change := range map[tokenpin.Verdict]func(*tokenpin.Config){
		tokenpin.VerdictUnknownKey: func(c *tokenpin.Config) { c.CookieKeys[0].ID = 2 },
		tokenpin.VerdictBadTag:     func(c *tokenpin.Config) { c.CookieKeys[0].Secret[0]++ },
	} {
		response, _ := ask(&Pin{Affinity: newAffinity(t, change)}, post())
		passed := http.Header{}
		mine.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = r.Header
			if decision, ok := DecisionFrom(r.Context()); !ok || decision.Verdict != verdict ||
				decision.Outcome != tokenpin.OutcomePlaced {
				t.Errorf("%v: %v", verdict, decision)
			}
		})).ServeHTTP(httptest.NewRecorder(), post("Cookie", cookieOf(response)))
		if passed["Cookie"] != nil {
			t.Errorf("%v: %v", verdict, passed)
		}
	}
}
