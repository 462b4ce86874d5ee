package tokenpinhttp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
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
		t.Skip("the vectors are only in the checkout, and not in the module")
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

// A target has the class of the shared table as it comes from the wire, be it encoded or not, and
// also behind a mux that cuts off a prefix, or replaces the path.
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
		ask("prefix", func(h http.Handler) http.Handler { return http.StripPrefix("/prefix", h) },
			onTheWire(c.Method, "/prefix"+c.Target))
		// A prefix that ends in a slash takes that of the path with it.
		ask("slash", func(h http.Handler) http.Handler { return http.StripPrefix("/prefix/", h) },
			onTheWire(c.Method, "/prefix"+c.Target))
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

// A mux that cuts the slash off, too, changes nothing: neither for what the upstream gets, nor for
// what is decided, nor for what comes of it.
func TestPrefixesThatEndInASlash(t *testing.T) {
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.RequestURI }))
	defer server.Close()
	for _, c := range []struct {
		method, path string
		upgrade      bool
		source       tokenpin.Source
		existing     bool
	}{
		{"POST", "v1/responses", false, tokenpin.SourceMinted, false},
		{"POST", "responses", false, tokenpin.SourceMinted, false},
		{"CONNECT", "v1/responses", false, tokenpin.SourceMinted, false},
		{"CONNECT", "responses", false, tokenpin.SourceMinted, false},
		{"CONNECT", "responses/1", false, tokenpin.SourceMinted, true},
		{"GET", "v1/responses", true, tokenpin.SourceMinted, false},
		{"GET", "responses", true, tokenpin.SourceMinted, false},
		{"GET", "responses", false, tokenpin.SourceMinted, true},
		{"GET", "v1/%72esponses/1", false, tokenpin.SourceMinted, true},
		{"GET", "v1/models", false, tokenpin.SourceStateless, false},
		{"GET", "", false, tokenpin.SourceStateless, false},
	} {
		for _, prefix := range []string{"/openai", "/openai/", "/a/b/"} {
			pin := &Pin{Affinity: newAffinity(t, nil)}
			var decision tokenpin.Decision
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				decision, _ = DecisionFrom(r.In.Context())
				Rewrite(parse(t, server.URL), Bearer(tokens...))(r)
				r.Out.Method = "POST" // the upstream takes no tunnels
			}}
			request := onTheWire(c.method, strings.TrimSuffix(prefix, "/")+"/"+c.path)
			if c.upgrade {
				request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
			}
			http.StripPrefix(prefix, pin.Handler(proxy)).ServeHTTP(httptest.NewRecorder(), request)
			if decision.Source != c.source || decision.Existing != c.existing || sent != "/"+c.path {
				t.Errorf("%+v behind %s: %v, existing %v; sent %s", c, prefix, decision, decision.Existing, sent)
			}
		}
	}
}
