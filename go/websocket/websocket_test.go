package websocket

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

var accounts = []string{"a", "b", "c"}

// TestMain starts the tests again with WebSockets over HTTP/2, which net/http has switched off.
func TestMain(m *testing.M) {
	const extended = "http2xconnect=1"
	if strings.Contains(os.Getenv("GODEBUG"), extended) {
		os.Exit(m.Run())
	}
	again := exec.Command(os.Args[0], os.Args[1:]...)
	again.Env = append(os.Environ(), "GODEBUG="+extended)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if err := again.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newPin(t *testing.T) *tokenpinhttp.Pin {
	t.Helper()
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	for _, account := range accounts {
		config.Slots = append(config.Slots, tokenpin.SlotConfig{Identity: account, Status: tokenpin.Up})
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		t.Fatal(err)
	}
	return &tokenpinhttp.Pin{Affinity: affinity}
}

// upstream says which account it is asked as: to each message of a WebSocket, and in the body of
// any other response.
func upstream(w http.ResponseWriter, r *http.Request) {
	account := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Add("Set-Cookie", "__Host-tokenpin=an upstream's own")
	if r.Header.Get("Upgrade") == "" {
		_, _ = io.WriteString(w, account)
		return
	}
	connection, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer connection.CloseNow()
	for {
		kind, message, err := connection.Read(r.Context())
		if err != nil {
			return
		}
		if err := connection.Write(r.Context(), kind, fmt.Appendf(nil, "%s as %s", message, account)); err != nil {
			return
		}
	}
}

func proxy(t *testing.T, pin *tokenpinhttp.Pin) http.Handler {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(upstream))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return pin.Handler(&httputil.ReverseProxy{Rewrite: tokenpinhttp.Rewrite(target, tokenpinhttp.Bearer(accounts...))})
}

// session is a client with a cookie jar.
type session struct {
	*http.Client
	url string
}

func newSession(t *testing.T, server *httptest.Server) session {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return session{&http.Client{Transport: server.Client().Transport, Jar: jar}, server.URL}
}

// talk opens a WebSocket, exchanges two messages, and says which account answered.
func (s session) talk(t *testing.T, path string) (account string, cookies int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection, response, err := websocket.Dial(ctx, s.url+path, &websocket.DialOptions{HTTPClient: s.Client})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.CloseNow()
	for _, message := range []string{"one", strings.Repeat("two", 10_000)} {
		if err := connection.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		_, answer, err := connection.Read(ctx)
		said, found := "", false
		if said, account, found = strings.Cut(string(answer), " as "); err != nil || !found || said != message {
			t.Fatalf("%.20q, %v", answer, err)
		}
	}
	return account, len(response.Cookies())
}

func (s session) post(t *testing.T) (account string) {
	t.Helper()
	response, err := s.Post(s.url+"/v1/responses", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A handshake creates a session: its answer has the cookie, and what comes after it goes to the
// same account.
func TestHandshakeCreates(t *testing.T) {
	pin := newPin(t)
	server := httptest.NewTLSServer(proxy(t, pin))
	defer server.Close()
	served := map[string]session{}
	for range 40 {
		client := newSession(t, server)
		first, cookies := client.talk(t, "/v1/responses")
		if cookies != 1 {
			t.Errorf("%d cookies", cookies)
		}
		again, cookies := client.talk(t, "/v1/responses?model=x")
		if posted := client.post(t); again != first || posted != first || cookies != 0 {
			t.Errorf("%s, then %s with %d cookies, then %s", first, again, cookies, posted)
		}
		// An API without state has no cookie.
		if _, cookies := newSession(t, server).talk(t, "/v1/realtime"); cookies != 0 {
			t.Errorf("%d cookies", cookies)
		}
		served[first] = client
	}
	if len(served) != len(accounts) { // an account without a session: below 3e-7
		t.Errorf("only %v serve", served)
	}
	// While its account is down, a session's handshake goes elsewhere and stays there, as a POST
	// does.
	slot, err := pin.Affinity.Find("a")
	if err != nil {
		t.Fatal(err)
	}
	down := tokenpin.SlotStatus{State: tokenpin.StateDown, Weight: tokenpin.MaxWeight}
	if err := pin.Affinity.SetSlot(slot, down); err != nil {
		t.Fatal(err)
	}
	moved, cookies := served["a"].talk(t, "/v1/responses")
	if err := pin.Affinity.SetSlot(slot, tokenpin.Up); err != nil {
		t.Fatal(err)
	}
	if again, _ := served["a"].talk(t, "/v1/responses"); moved == "a" || cookies != 1 || again != moved {
		t.Errorf("moved to %s with %d cookies, then %s", moved, cookies, again)
	}
}

// The same where the gateway is the WebSocket's server itself.
func TestHandshakeWithoutProxy(t *testing.T) {
	server := httptest.NewTLSServer(newPin(t).Handler(http.HandlerFunc(upstream)))
	defer server.Close()
	client := newSession(t, server)
	for _, want := range []int{1, 0} {
		if _, cookies := client.talk(t, "/v1/responses"); cookies != want {
			t.Errorf("%d cookies", cookies)
		}
	}
}

// The same over HTTP/2, by extended CONNECT. httputil.ReverseProxy cannot send that on.
func TestHandshakeOverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(newPin(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decision, _ := tokenpinhttp.DecisionFrom(r.Context())
		w.Header().Set("Decided", fmt.Sprint(r.Method, " ", decision.Outcome, " ", decision.Existing))
		w.(http.Flusher).Flush()
		_, _ = io.Copy(w, r.Body)
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := &http2.Transport{TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig}
	connect := func(path, cookie string) (decided string, cookies []*http.Cookie) {
		body, send := io.Pipe()
		request, err := http.NewRequest("CONNECT", server.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{":protocol": {"websocket"}, "Cookie": {cookie}}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		go func() {
			_, _ = io.WriteString(send, "a frame")
			_ = send.Close()
		}()
		if echo, err := io.ReadAll(response.Body); err != nil || string(echo) != "a frame" || response.StatusCode != 200 {
			t.Errorf("%s: %q, %v", response.Status, echo, err)
		}
		return response.Header.Get("Decided"), response.Cookies()
	}
	decided, cookies := connect("/v1/responses", "")
	if decided != "CONNECT placed false" || len(cookies) != 1 {
		t.Fatal(decided, cookies)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	if decided, cookies := connect("/v1/responses", cookie); decided != "CONNECT pinned false" || len(cookies) != 0 {
		t.Error(decided, cookies)
	}
	if decided, cookies := connect("/v1/responses/1", cookie); decided != "CONNECT pinned true" || len(cookies) != 0 {
		t.Error(decided, cookies)
	}
	if decided, cookies := connect("/v1/realtime", ""); decided != "CONNECT placed false" || len(cookies) != 0 {
		t.Error(decided, cookies)
	}
}
