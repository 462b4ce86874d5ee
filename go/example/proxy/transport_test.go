package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenpin/tokenpin/go"
)

// limited is a provider with accounts a, b and c, of which some limit their rate. Each knows only
// what it made.
type limited struct {
	sync.Mutex
	limits map[string]bool
	made   map[string]string // the account of each path
	asked  []string          // the accounts, in order
}

func (l *limited) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.Lock()
	defer l.Unlock()
	account := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer sk-")
	l.asked = append(l.asked, account)
	switch owner, known := l.made[r.URL.Path]; {
	case l.limits[account]:
		w.Header().Set("Retry-After", "100")
		http.Error(w, "too many", http.StatusTooManyRequests)
	case r.Method == "GET" && (!known || owner != account):
		http.NotFound(w, r)
	case r.URL.Path == "/v1/files":
		id := fmt.Sprintf("file-%d", len(l.made))
		l.made["/v1/files/"+id] = account
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"%s"}`, id)
	default:
		fmt.Fprintf(w, "%s %d bytes", account, len(body))
	}
}

func (l *limited) limit(accounts ...string) {
	l.Lock()
	defer l.Unlock()
	l.limits, l.asked = map[string]bool{}, nil
	for _, account := range accounts {
		l.limits[account] = true
	}
}

func startLimited(t *testing.T) (*limited, *httptest.Server, *tokenpin.Affinity) {
	t.Helper()
	l := &limited{made: map[string]string{}}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	gateway, affinity := start(t, &provider{server.URL})
	return l, gateway, affinity
}

func (s *session) send(t *testing.T, method, path string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func up(t *testing.T, affinity *tokenpin.Affinity) {
	t.Helper()
	for slot := range int32(len(accounts)) {
		if err := affinity.SetSlot(slot, tokenpin.Up); err != nil {
			t.Fatal(err)
		}
	}
}

// A request that nothing ties to an account is sent to another one, with its body. What cannot be
// sent again is not.
func TestRetryOfRequestsWithoutState(t *testing.T) {
	provider, gateway, affinity := startLimited(t)
	client := newSession(t, gateway)
	for name, c := range map[string]struct {
		body   io.Reader
		moves  bool
		length int
	}{
		"no body":        {nil, true, 0},
		"empty":          {strings.NewReader(""), true, 0},
		"short":          {strings.NewReader("x"), true, 1},
		"the longest":    {bytes.NewReader(make([]byte, maxKept)), true, maxKept},
		"too long":       {bytes.NewReader(make([]byte, maxKept+1)), false, 0},
		"without length": {io.MultiReader(strings.NewReader("x")), false, 0},
	} {
		// Of three accounts two limit their rate, so each request meets one of them sooner or
		// later.
		met := false
		for range 40 {
			up(t, affinity)
			provider.limit("a")
			if seeker, ok := c.body.(io.Seeker); ok {
				_, _ = seeker.Seek(0, io.SeekStart)
			} else if c.body != nil {
				c.body = io.MultiReader(strings.NewReader("x"))
			}
			status, text := client.send(t, "POST", "/v1/embeddings", c.body)
			if provider.asked[0] != "a" {
				continue
			}
			met = true
			if got, _, _ := affinity.GetSlot(0); got.State != tokenpin.StateDraining {
				t.Errorf("%s: %+v", name, got)
			}
			if c.moves != (status == 200) || len(provider.asked) > 2 || (len(provider.asked) == 2) != c.moves ||
				c.moves && !strings.HasSuffix(text, fmt.Sprintf(" %d bytes", c.length)) {
				t.Errorf("%s: %d %s, asked %v", name, status, text, provider.asked)
			}
		}
		if !met { // below 1e-7
			t.Errorf("%s: never met the account", name)
		}
	}
	// The answer of the second account is the answer.
	up(t, affinity)
	provider.limit(accounts...)
	if status, _ := client.send(t, "POST", "/v1/embeddings", nil); status != 429 || len(provider.asked) != 2 ||
		provider.asked[0] == provider.asked[1] {
		t.Errorf("%d, asked %v", status, provider.asked)
	}
}

// If no other account can serve, the one that refused is not asked again.
func TestNoRetryWithoutAnotherAccount(t *testing.T) {
	provider, gateway, affinity := startLimited(t)
	for slot := range int32(2) {
		if err := affinity.SetSlot(slot, tokenpin.SlotStatus{State: tokenpin.StateDown}); err != nil {
			t.Fatal(err)
		}
	}
	provider.limit("c")
	status, _ := newSession(t, gateway).send(t, "POST", "/v1/embeddings", nil)
	if status != 429 || len(provider.asked) != 1 {
		t.Errorf("%d, asked %v", status, provider.asked)
	}
}

// A session finds again all that it was reported to have made, and that is never a matter of luck.
func TestRetryLeavesNothingBehind(t *testing.T) {
	provider, gateway, affinity := startLimited(t)
	for _, jar := range []bool{true, false} {
		moved := 0
		for i := range 60 {
			up(t, affinity)
			provider.limit()
			client := newSession(t, gateway)
			if i%2 == 1 {
				client.send(t, "POST", "/v1/files", nil) // a session already
			}
			if !jar {
				client.client.Jar = nil
			}
			provider.limit("a")
			status, text := client.send(t, "POST", "/v1/files", strings.NewReader("x"))
			if status != 200 { // the account's own answer
				if status != 429 || len(provider.asked) != 1 {
					t.Errorf("%d after %v", status, provider.asked)
				}
				continue
			}
			if len(provider.asked) == 2 {
				moved++
			}
			var made struct{ ID string }
			if err := json.Unmarshal([]byte(text), &made); err != nil {
				t.Fatal(text, err)
			}
			provider.limit()
			if status, _ := client.send(t, "GET", "/v1/files/"+made.ID, nil); status != 200 {
				t.Errorf("%d after %v", status, provider.asked)
			}
		}
		if moved == 0 { // a cookie says where to, or the id does
			t.Errorf("with a jar %v: no one was moved", jar)
		}
	}
}

func TestCooldowns(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		ms, after string
		seconds   int64
	}{
		{"", "", 30},
		{"", "x", 30},
		{"", "7", 7},
		{"", "0", 1},
		{"", "-5", 1},
		{"", "0.5", 1},
		{"", "1.5", 2},
		{"", "3600", 3600},
		{"", "3601", 3600},
		{"", "99999999999999999999", 3600},
		{"", "1e999", 30},
		{"", "NaN", 1},
		{"", "Inf", 3600},
		{"", "-Inf", 1},
		{"", now.Add(90 * time.Second).UTC().Format(http.TimeFormat), 90},
		{"", now.Add(90 * time.Second).UTC().Format("Monday, 02-Jan-06 15:04:05 GMT"), 90},
		{"", now.Add(90 * time.Second).UTC().Format(time.ANSIC), 90},
		{"", now.Add(-time.Hour).UTC().Format(http.TimeFormat), 1},
		{"300", "", 1},
		{"300", "7", 1},
		{"2500", "60", 3},
		{"2500.5", "", 3},
		{"x", "7", 7},
	} {
		header := http.Header{}
		header.Set("retry-after-ms", c.ms)
		header.Set("retry-after", c.after)
		if got := cooldown(header, now); got != c.seconds {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// A cooldown overrules no operator, keeps the weight, does not shorten a longer one, and takes
// nothing down.
func TestCooldownsLeaveWhatIsSaid(t *testing.T) {
	_, _, affinity := startLimited(t)
	now := time.Now().Unix()
	transport := &transport{affinity: affinity}
	drained := func(until int64) tokenpin.SlotStatus {
		return tokenpin.SlotStatus{State: tokenpin.StateDraining, Until: until, Weight: 7}
	}
	down := func(until int64) tokenpin.SlotStatus {
		return tokenpin.SlotStatus{State: tokenpin.StateDown, Until: until, Weight: 7}
	}
	isUp := tokenpin.SlotStatus{Weight: 7}
	cools := map[int]bool{401: true, 429: true, 503: true}
	for status := range 600 {
		for _, c := range []struct {
			before tokenpin.SlotStatus
			after  string
			want   tokenpin.SlotStatus
		}{
			{isUp, "100", drained(now + 100)},
			{isUp, "", drained(now + 30)},
			{drained(0), "100", drained(0)},
			{down(0), "100", down(0)},
			{drained(now + 500), "100", drained(now + 500)},
			{drained(now + 50), "100", drained(now + 100)},
			{down(now + 50), "100", down(now + 50)},
			{drained(now - 50), "100", drained(now + 100)},
			{down(now - 50), "100", drained(now + 100)},
		} {
			if !cools[status] {
				c.want = c.before
			}
			if err := affinity.SetSlot(0, c.before); err != nil {
				t.Fatal(err)
			}
			transport.coolDown(0, &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {c.after}}})
			got, _, err := affinity.GetSlot(0)
			if late := got.Until - c.want.Until; c.want.Until > now && late > 0 && late < 60 {
				got.Until = c.want.Until // a slow machine
			}
			if err != nil || got != c.want {
				t.Errorf("%d, %+v: %+v, %v", status, c, got, err)
			}
		}
	}
}

// One client, for any answer that it gets the provider to give, takes no account from the others:
// sessions keep theirs, and newcomers have one.
func TestNoClientTakesAnAccountFromOthers(t *testing.T) {
	for status := 400; status < 600; status++ {
		bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Bad") != "" {
				w.WriteHeader(status)
			}
		}))
		gateway, _ := start(t, &provider{bad.URL})
		good := newSession(t, gateway)
		if code, _ := good.send(t, "POST", "/v1/files", nil); code != 200 {
			t.Fatal(code)
		}
		for range 20 {
			request, err := http.NewRequest("GET", gateway.URL+"/v1/files/unknown", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Bad", "1")
			response, err := gateway.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != status {
				t.Errorf("%d became %d", status, response.StatusCode)
			}
		}
		for _, method := range []string{"GET", "POST"} {
			for name, client := range map[string]*session{"a session": good, "a newcomer": newSession(t, gateway)} {
				if code, text := client.send(t, method, "/v1/files", nil); code != 200 {
					t.Errorf("after %d, %s %s: %d %s", status, name, method, code, text)
				}
			}
		}
		gateway.Close()
		bad.Close()
	}
}
