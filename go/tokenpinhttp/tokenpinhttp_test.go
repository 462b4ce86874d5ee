package tokenpinhttp

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

const cookieName = "__Host-tokenpin"

var tokens = []string{"sk-a", "sk-b", "sk-c"}

func newAffinity(t *testing.T, change func(*tokenpin.Config)) *tokenpin.Affinity {
	t.Helper()
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	for _, token := range tokens {
		config.Slots = append(config.Slots, tokenpin.SlotConfig{Identity: "account-" + token, Status: tokenpin.Up})
	}
	if change != nil {
		change(&config)
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		t.Fatal(err)
	}
	return affinity
}

// gateway is a proxy in front of an upstream, over TLS, and a client with a cookie jar.
func gateway(t *testing.T, pin *Pin, upstream http.HandlerFunc) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	proxy := httptest.NewTLSServer(pin.Handler(&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, server.URL), Bearer(tokens...))}))
	t.Cleanup(proxy.Close)
	client = proxy.Client()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	return proxy.URL, client
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func do(t *testing.T, client *http.Client, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// echo answers with the token and the cookies that it got.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Set-Cookie", cookieName+"=an upstream's own")
	w.Header().Add("Set-Cookie", "lang=en; Path=/")
	w.Header().Set("Carried", "an upstream's own")
	fmt.Fprintf(w, "%s|%q|%q", r.Header.Get("Authorization"), r.Header["Cookie"], r.Header["Carried"])
}

func TestSessionStays(t *testing.T) {
	url, client := gateway(t, &Pin{Affinity: newAffinity(t, nil)}, echo)
	response, first := do(t, client, "POST", url+"/v1/responses", "Cookie", "theme=dark")
	if !strings.HasSuffix(first, `|["theme=dark"]|[]`) || response.Header.Get("Cache-Control") != `no-cache="Set-Cookie"` {
		t.Errorf("%s, %v", first, response.Header)
	}
	if cookies := response.Cookies(); len(cookies) != 2 || cookies[0].Name != "lang" || cookies[1].Name != cookieName ||
		len(cookies[1].Value) != tokenpin.CookieValueLen || !cookies[1].Secure || !cookies[1].HttpOnly {
		t.Errorf("%v", cookies)
	}
	for range 20 {
		response, next := do(t, client, "GET", url+"/v1/responses/1")
		if token, _, _ := strings.Cut(first, "|"); next != token+`|["lang=en"]|[]` {
			t.Errorf("%s after %s", next, first)
		}
		if lines := response.Header["Set-Cookie"]; !slices.Equal(lines, []string{"lang=en; Path=/"}) {
			t.Errorf("%q", lines)
		}
	}
}

func TestCarrier(t *testing.T) {
	url, client := gateway(t, &Pin{Affinity: newAffinity(t, nil), CarrierHeader: "carried"}, echo)
	client.Jar = nil
	response, first := do(t, client, "POST", url+"/v1/responses", "Carried", "")
	value := response.Header.Get("Carried")
	if len(value) != tokenpin.CookieValueLen ||
		!slices.Equal(response.Header["Set-Cookie"], []string{"lang=en; Path=/"}) ||
		!slices.Equal(response.Header["Cache-Control"], []string{`no-cache="Carried"`}) {
		t.Fatalf("%v", response.Header)
	}
	for range 20 {
		response, next := do(t, client, "POST", url+"/v1/responses", "Carried", value)
		if next != first || response.Header["Carried"] != nil || response.Header["Cache-Control"] != nil {
			t.Errorf("%s after %s, %v", next, first, response.Header)
		}
	}
	// A client that does not ask for the header gets a cookie.
	if response, _ := do(t, client, "POST", url+"/v1/responses"); response.Header["Carried"] != nil ||
		len(response.Cookies()) != 2 {
		t.Errorf("%v", response.Header)
	}
}

// Of several carried values, equal ones are one, joined or not, with any empty ones between them;
// of different ones none is used.
func TestSeveralCarriedValues(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, nil), CarrierHeader: "Carried"}
	value := func() string {
		response, _ := ask(pin, post("Carried", ""))
		return response.Header().Get("Carried")
	}
	mine, other := value(), value()
	for _, c := range []struct {
		values []string
		used   bool
	}{
		{[]string{mine}, true},
		{[]string{mine, mine}, true},
		{[]string{mine, mine, mine}, true},
		{[]string{mine + "," + mine}, true},
		{[]string{mine + " ,\t" + mine + ", " + mine, mine}, true},
		{[]string{"", mine}, true},
		{[]string{mine, ""}, true},
		{[]string{mine, "", mine}, true},
		{[]string{mine + ","}, true},
		{[]string{"," + mine}, true},
		{[]string{mine + ",," + mine}, true},
		{[]string{"", ", " + mine + " ,\t, ", mine + "," + mine, ","}, true},
		{[]string{mine, "", other}, false},
		{[]string{mine + ",," + other}, false},
		{[]string{mine + ",", "," + other}, false},
		{[]string{mine, other}, false},
		{[]string{other, mine, mine}, false},
		{[]string{mine, mine, other}, false},
		{[]string{mine, "x"}, false},
		{[]string{mine + ", " + other}, false},
		{[]string{mine + ", " + mine, other}, false},
		{[]string{"", ""}, false},
		{[]string{","}, false},
	} {
		request := post()
		request.Header["Carried"] = c.values
		response, decision := ask(pin, request)
		// In any case the client asked for the header, and gets what it has not.
		if (decision.Source == tokenpin.SourceCookie) != c.used || (response.Header()["Carried"] != nil) == c.used ||
			response.Header()["Set-Cookie"] != nil {
			t.Errorf("%q: %v, %v", c.values, decision, response.Header())
		}
	}
}

// Copies of a key are one key, however they come; different keys are none.
func TestSeveralKeys(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, nil), ConsumerHeader: "X-Consumer", SessionHeader: "X-Session"}
	for header, source := range map[string]tokenpin.Source{
		"X-Consumer": tokenpin.SourceConsumer,
		"X-Session":  tokenpin.SourceSession,
	} {
		_, alone := ask(pin, post(header, "alice"))
		for _, values := range [][]string{
			{"alice", "alice"}, {"alice,alice"}, {"alice, alice ,\talice"}, {"alice", "", "alice, alice"},
			{"alice", ","}, {" , ", "alice"},
			{"alice,"}, {",alice"}, {"alice,,alice"}, {"alice, ,alice"}, {"alice", "", "alice,"},
			{"", ",,alice\t,"}, {"alice", "alice,"},
		} {
			request := post()
			request.Header[header] = slices.Clone(values)
			if _, decision := ask(pin, request); decision.Slot != alone.Slot ||
				decision.Source != source || decision.KeyReason != tokenpin.KeyReasonOK {
				t.Errorf("%q: %v", values, decision)
			}
			if !slices.Equal(request.Header[header], values) {
				t.Errorf("%q became %q", values, request.Header[header])
			}
		}
		for _, values := range [][]string{
			{"alice", "bob"}, {"alice,alice", "bob"}, {"alice", "alice,bob"}, {"alice", "Alice"},
			{"alice,", "bob"}, {"alice,", ",bob", ""},
		} {
			request := post()
			request.Header[header] = values
			if _, decision := ask(pin, request); decision.KeyReason != tokenpin.KeyReasonSeveralValues ||
				decision.Source != tokenpin.SourceMinted {
				t.Errorf("%q: %v", values, decision)
			}
		}
		// A name with a comma in it is a name, and what is joined and differs is one as it is.
		served := map[int32]bool{}
		for i := range 30 {
			for _, value := range []string{"Smith, Alice", "alice,bob", fmt.Sprintf("alice,%d", i)} {
				_, decision := ask(pin, post(header, value))
				if served[decision.Slot] = true; decision.Source != source {
					t.Error(value, decision)
				}
			}
		}
		if len(served) != len(tokens) { // the keys are fixed
			t.Errorf("only %v serve", served)
		}
		// Nothing but commas is no one.
		if _, decision := ask(pin, post(header, ", ,")); decision.KeyReason != tokenpin.KeyReasonAbsent {
			t.Error(decision)
		}
	}
}

func TestKeysAndScopes(t *testing.T) {
	affinity := newAffinity(t, nil)
	pin := &Pin{
		Affinity: affinity, ConsumerHeader: "x-consumer", SessionHeader: "x-session",
		Scope: func(r *http.Request) string { return r.Header.Get("X-Scope") },
	}
	url, client := gateway(t, pin, echo)
	client.Jar = nil
	for _, header := range []string{"X-Consumer", "X-Session"} {
		served := map[string]bool{}
		for i := range 30 {
			_, first := do(t, client, "POST", url+"/v1/responses", header, fmt.Sprint(i))
			response, second := do(t, client, "POST", url+"/v1/responses", header, fmt.Sprint(i))
			if first != second || len(response.Cookies()) != 1 {
				t.Errorf("%s, then %s: %v", first, second, response.Header)
			}
			served[first] = true
		}
		if len(served) != len(tokens) { // all on two of three tokens: below 1 in 60000, and the keys are fixed
			t.Errorf("%s: only %v", header, served)
		}
	}
	name, err := affinity.CookieName("x")
	response, _ := do(t, client, "POST", url+"/v1/responses", "X-Scope", "x")
	if cookies := response.Cookies(); err != nil || len(cookies) != 3 || cookies[2].Name != name {
		t.Errorf("%v, %v", cookies, err)
	}
}

func TestNoCookieWithoutSuccess(t *testing.T) {
	for _, status := range []int{200, 299, 300, 404, 503} {
		url, client := gateway(t, &Pin{Affinity: newAffinity(t, nil)}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(status)
		})
		response, _ := do(t, client, "POST", url+"/v1/responses")
		if response.StatusCode != status || (len(response.Cookies()) == 1) != (status < 300) {
			t.Error(response.Status, response.Header)
		}
	}
}

// The host wins over method and path: a request that names existing state is one of its
// session's on any path, and is refused while the session's token is down.
func TestExisting(t *testing.T) {
	for _, path := range []string{
		"/v1/responses", "/v1/files/1", "/v1/chat/completions", "/v1/embeddings", "/x", "/", "//", "/v1/%72esponses?x=/y",
	} {
		for _, method := range []string{"POST", "GET", "PUT", "DELETE", "OPTIONS", "CONNECT", "BREW"} {
			pin := &Pin{
				Affinity: newAffinity(t, nil),
				Existing: func(r *http.Request) bool { return r.Header.Get("Names") != "" },
			}
			request := func(header ...string) *http.Request {
				return withHeader(httptest.NewRequest(method, path, nil), header...)
			}
			response, first := ask(pin, request("Names", "1"))
			cookie := cookieOf(response)
			if !first.Existing || first.Source != tokenpin.SourceMinted || cookie == "" || first.MayMove {
				t.Fatalf("%s %s: %v, %q", method, path, first, cookie)
			}
			for range 5 {
				if _, again := ask(pin, request("Names", "1", "Cookie", cookie)); again.Slot != first.Slot ||
					again.Outcome != tokenpin.OutcomePinned {
					t.Errorf("%s %s: %v, then %v", method, path, first, again)
				}
			}
			if err := pin.Affinity.SetSlot(first.Slot, tokenpin.SlotStatus{State: tokenpin.StateDown}); err != nil {
				t.Fatal(err)
			}
			if response, _ := ask(pin, request("Names", "1", "Cookie", cookie)); response.Code != http.StatusServiceUnavailable {
				t.Errorf("%s %s: %d", method, path, response.Code)
			}
		}
	}
	// Without its word, a request that creates goes elsewhere meanwhile.
	pin := &Pin{Affinity: newAffinity(t, nil), Existing: func(*http.Request) bool { return false }}
	response, first := ask(pin, post())
	if err := pin.Affinity.SetSlot(first.Slot, tokenpin.SlotStatus{State: tokenpin.StateDown}); err != nil {
		t.Fatal(err)
	}
	if _, second := ask(pin, post("Cookie", cookieOf(response))); second.Outcome != tokenpin.OutcomeRepinned ||
		second.Slot == first.Slot {
		t.Errorf("%v, then %v", first, second)
	}
}

// The second event is only sent when the client has the first.
func TestStreaming(t *testing.T) {
	received := make(chan struct{})
	url, client := gateway(t, &Pin{Affinity: newAffinity(t, nil)}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", event)
			w.(http.Flusher).Flush()
			<-received
		}
	})
	response, err := client.Post(url+"/v1/responses", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if len(response.Cookies()) != 1 {
		t.Errorf("%v", response.Header)
	}
	lines := bufio.NewScanner(response.Body)
	for event := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", event) || !lines.Scan() {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		received <- struct{}{}
	}
}

// A handler that flushes before it writes, one that writes nothing, and one that takes the
// connection over.
func TestWriter(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"flush":   func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"control": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"write":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"hijack": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusSwitchingProtocols)
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				connection.Close()
			}
		},
	} {
		pin := &Pin{Affinity: newAffinity(t, nil)}
		server := httptest.NewServer(pin.Handler(handler))
		request, err := http.NewRequest("POST", server.URL+"/v1/responses", nil)
		if err != nil {
			t.Fatal(err)
		}
		if name == "hijack" {
			request.Header.Set("Connection", "Upgrade")
			request.Header.Set("Upgrade", "x")
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		response.Body.Close()
		if len(response.Cookies()) != 1 {
			t.Errorf("%s: %v", name, response.Header)
		}
		server.Close()
	}
}

// closing is a body that cannot be read any more once it is closed, as net/http's.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func (c *closing) Read(into []byte) (int, error) {
	if c.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.Reader.Read(into)
}

// A handler that sends a body on looks for more behind its end, when the server may have closed it.
func TestABodyStaysAtItsEnd(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, nil)}
	for _, whole := range []bool{true, false} {
		given := &closing{Reader: strings.NewReader("text")}
		handler := pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if whole {
				if got, err := io.ReadAll(r.Body); err != nil || string(got) != "text" {
					t.Fatal(string(got), err)
				}
			}
			given.Close()
			want := http.ErrBodyReadAfterClose
			if whole {
				want = io.EOF
			}
			if count, err := r.Body.Read(make([]byte, 1)); count != 0 || err != want {
				t.Errorf("%d %v, wanted %v", count, err, want)
			}
		}))
		request := httptest.NewRequest("POST", "/v1/embeddings", given)
		request.Header.Set("Content-Type", "text/plain")
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
}
