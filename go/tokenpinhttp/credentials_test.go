package tokenpinhttp

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// Headers that prove who a client is, or say who pays, spelt as servers tolerate it.
var credentialNames = []string{
	"authorization", "Authorization", "AUTHORIZATION", "Proxy-Authorization", "X-Authorization",
	"X_Authorization", "X-Forwarded-Authorization", "X-Serverless-Authorization", "Cf-Aig-Authorization",
	"X-Auth", "Helicone-Auth", "X-Auth-Token", "X-Auth-Key", "X-Token", "X-Access-Token", "X-Amz-Security-Token",
	"X-Goog-Iam-Authorization-Token", "x_goog_api_key", "Api-Key", "api_key", "apikey", "X-API-Key", "X_Api_Key",
	"X_Api-Key", "x-goog-api-key", "X-Access-Key", "X-Functions-Key", "Ocp-Apim-Subscription-Key",
	"ocp_apim_subscription_key", "Cf-Access-Jwt-Assertion", "Cf-Access-Client-Secret", "X-Password",
	"X-Amz-Credential", "X-Credentials", "OpenAI-Organization", "OpenAI_Project", "X-Goog-User-Project",
}

// Names that are like these, and yet none.
var otherNames = []string{
	"Accept", "Anthropic-Version", "OpenAI-Beta", "Idempotency-Key", "X-Idempotency-Key", "Sec-Websocket-Key",
	"Key", "X-Tokens", "X-Max-Tokens", "X-Author", "X-Authority", "Authorizations", "Authentic", "Api-Version",
	"X-Api-Keys", "Subscription", "X-Apim-Trace", "X-Key-Api", "X-Goog-Api-Client", "X-Goog-User-Projects",
	"X-Openai-Organization-Name", "Traceparent", "X_Session",
}

func TestCredentialsOfOthersAreTold(t *testing.T) {
	for _, name := range credentialNames {
		if !isCredential(folded(name)) {
			t.Errorf("%s passes", name)
		}
	}
	for _, name := range otherNames {
		if isCredential(folded(name)) {
			t.Errorf("%s does not pass", name)
		}
	}
}

// Trailers that a client sends behind its body is not in its headers, and reaches the upstream
// where the body was read before.
func TestNoCredentialPassesInTrailers(t *testing.T) {
	var sent *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		sent = r
	}))
	defer server.Close()
	for _, by := range []string{"nobody", "Existing", "the pin"} {
		read := by != "nobody"
		pin := &Pin{Affinity: newAffinity(t, nil), PassBodies: by != "the pin", Existing: func(r *http.Request) bool {
			if by == "Existing" {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
			}
			return false
		}}
		credentials := NewCredentials(
			http.Header{"X-House": {"a"}}, http.Header{"X-House": {"b"}}, http.Header{"X-House": {"c"}},
		)
		proxy := httptest.NewServer(pin.Handler(&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, server.URL), credentials)}))
		defer proxy.Close()
		for _, name := range append([]string{"X-House", "x_house", "X-Checksum"}, credentialNames...) {
			request, err := http.NewRequest("POST", proxy.URL+"/v1/responses", io.MultiReader(strings.NewReader("x")))
			if err != nil {
				t.Fatal(err)
			}
			request.Trailer = http.Header{name: {"the client's own"}}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			passes := name == "X-Checksum"
			if response.StatusCode != 200 || (sent.Trailer != nil) != passes ||
				(sent.Trailer.Get(name) != "") != (passes && read) ||
				len(sent.Header["X-House"]) != 1 || len(sent.Header["X-House"][0]) != 1 {
				t.Errorf("%s, read before by %s: %d, %v, %v", name, by, response.StatusCode, sent.Header, sent.Trailer)
			}
		}
	}
}

// For any credentials of a client, and any of the accounts, the upstream sees the
// account's only.
func TestNoCredentialOfAClientPasses(t *testing.T) {
	const own = "the client's own"
	accounts := map[string][]http.Header{
		"bearer": {{"Authorization": {"Bearer a"}}, {"Authorization": {"Bearer b"}}, {"Authorization": {"Bearer c"}}},
		"key":    {{"api-key": {"a"}}, {"API-KEY": {"b"}}, {"Api-Key": {"c"}}},
		"others": {
			{"X-Api-Key": {"a"}, "OpenAI-Organization": {"o1", "o2"}, "X-House": {"a"}},
			{"x-goog-api-key": {"b"}},
			{"X-Token": {"c"}},
		},
		"remove": {{"X-House": nil}, {}, nil},
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
			for _, header := range credentialNames {
				request.Header.Add(header, own)
				request.Header.Add(header, own)
			}
			if name == "others" || name == "remove" {
				request.Header.Add("X_HOUSE", own)
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

// Without a decision, and for a slot without credentials, no one's are sent.
func TestPutWithoutAnAccount(t *testing.T) {
	for _, credentials := range []Credentials{{}, Bearer("a"), NewCredentials(http.Header{"X-Token": {"a"}})} {
		in := httptest.NewRequest("GET", "/x", nil)
		out := in.Clone(in.Context())
		out.Header = http.Header{"Authorization": {"Bearer x"}, "api_key": {"x"}, "Accept": {"x"}}
		Rewrite(parse(t, "http://upstream/v1"), credentials)(&httputil.ProxyRequest{In: in, Out: out})
		if len(out.Header) != 1 || out.URL.String() != "http://upstream/v1/x" {
			t.Error(out.Header, out.URL)
		}
	}
}

// A request's changes to its headers are not in the next one's.
func TestCredentialsAreNotShared(t *testing.T) {
	mine := http.Header{"X-Token": {"a"}}
	credentials := NewCredentials(mine)
	mine.Set("X-Token", "b")
	pin := &Pin{Affinity: newAffinity(t, func(c *tokenpin.Config) { c.Slots = c.Slots[:1] })}
	for range 2 {
		pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			credentials.Put(r)
			header := r.Header
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
