package tokenpinhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// Whatever credentials a client brings, and whatever the accounts have, the upstream sees the account's only.
func TestNoCredentialOfAClientPasses(t *testing.T) {
	const own = "the client's own"
	accounts := map[string][]http.Header{
		"bearer": {{"Authorization": {"Bearer a"}}, {"Authorization": {"Bearer b"}}, {"Authorization": {"Bearer c"}}},
		"key":    {{"api-key": {"a"}}, {"API-KEY": {"b"}}, {"Api-Key": {"c"}}},
		"others": {{"X-Api-Key": {"a"}, "OpenAI-Organization": {"o1", "o2"}}, {"x-goog-api-key": {"b"}}, {"X-Token": {"c"}}},
		"remove": {{"OpenAI-Organization": nil}, {}, nil},
	}
	for name, slots := range accounts {
		pin := &Pin{Affinity: newAffinity(t, nil), SessionHeader: "X-Session"}
		var sent http.Header
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header }))
		handler := pin.Handler(&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, server.URL), NewCredentials(slots...))})
		served := map[int32]bool{}
		for i := range 30 {
			request := post("X-Session", fmt.Sprint(i), "Accept", "x")
			_, decision := ask(pin, request)
			served[decision.Slot] = true
			for _, header := range []string{"authorization", "Api-Key", "X-API-Key", "x-goog-api-key", "Proxy-Authorization"} {
				request.Header.Add(header, own)
				request.Header.Add(header, own)
			}
			for _, header := range []string{"OpenAI-Organization", "X-Token"} {
				if name == "others" || name == "remove" && header != "X-Token" {
					request.Header.Add(header, own)
				}
			}
			handler.ServeHTTP(httptest.NewRecorder(), request)
			want := http.Header{"Accept": {"x"}, "X-Session": {fmt.Sprint(i)}}
			for key, values := range slots[decision.Slot] {
				for _, value := range values {
					want.Add(key, value)
				}
			}
			for _, header := range []string{"Accept-Encoding", "Content-Length", "User-Agent"} {
				sent.Del(header) // net/http's own
			}
			if fmt.Sprint(sent) != fmt.Sprint(want) {
				t.Errorf("%s: sent %v, want %v", name, sent, want)
			}
		}
		server.Close()
		if len(served) != len(slots) {
			t.Errorf("only %v serve", served)
		}
	}
}

// Without a decision, and for a slot without credentials, nobody's are sent.
func TestPutWithoutAnAccount(t *testing.T) {
	for _, credentials := range []Credentials{{}, Bearer("a"), NewCredentials(http.Header{"X-Token": {"a"}})} {
		in := httptest.NewRequest("GET", "/x", nil)
		out := in.Clone(in.Context())
		out.Header = http.Header{"Authorization": {"Bearer x"}, "Api-Key": {"x"}, "Accept": {"x"}}
		Rewrite(parse(t, "http://upstream/v1"), credentials)(&httputil.ProxyRequest{In: in, Out: out})
		if len(out.Header) != 1 || out.URL.String() != "http://upstream/v1/x" {
			t.Error(out.Header, out.URL)
		}
	}
}

// What one request does to its headers is not in the next one's.
func TestCredentialsAreNotShared(t *testing.T) {
	mine := http.Header{"X-Token": {"a"}}
	credentials := NewCredentials(mine)
	mine.Set("X-Token", "b")
	pin := &Pin{Affinity: newAffinity(t, func(c *tokenpin.Config) { c.Slots = c.Slots[:1] })}
	for range 2 {
		pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			header := http.Header{}
			credentials.Put(r.Context(), header)
			if header.Get("X-Token") != "a" {
				t.Error(header)
			}
			header["X-Token"][0] = "b"
			_ = append(header["X-Token"], "c")
		})).ServeHTTP(httptest.NewRecorder(), post())
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	credentials := Bearer("sk-secret", "sk-other")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{credentials, &credentials, []Credentials{credentials}} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "sk-") || strings.Contains(text, "736b2d") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}
