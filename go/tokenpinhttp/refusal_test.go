package tokenpinhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenpin/tokenpin/go"
)

// ask sends one request through a Pin, without a network. What next sees is the decision.
func ask(pin *Pin, r *http.Request) (*httptest.ResponseRecorder, tokenpin.Decision) {
	made := tokenpin.Decision{Slot: tokenpin.NoSlot}
	response := httptest.NewRecorder()
	pin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made, _ = DecisionFrom(r.Context())
	})).ServeHTTP(response, r)
	return response, made
}

func post(header ...string) *http.Request {
	return withHeader(httptest.NewRequest("POST", "/v1/responses", nil), header...)
}

func withHeader(r *http.Request, header ...string) *http.Request {
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func cookieOf(response *httptest.ResponseRecorder) string {
	for _, cookie := range response.Result().Cookies() {
		return cookie.Name + "=" + cookie.Value
	}
	return ""
}

func setAll(t *testing.T, affinity *tokenpin.Affinity, status tokenpin.SlotStatus) {
	t.Helper()
	for slot := range affinity.Capacity() {
		if err := affinity.SetSlot(int32(slot), status); err != nil {
			t.Fatal(err)
		}
	}
}

// The page has a row for each refusal; so has the middleware, and says the same.
func TestRefusalsAreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/guides/embedding.md")
	if err != nil {
		t.Skip("the pages are only in the checkout, and not in the module")
	}
	_, section, _ := strings.Cut(string(page), "\n## Refusals\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| .* \\| (\\d+) \\| `(\\w+)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1)

	soon := tokenpin.SlotStatus{State: tokenpin.StateDown, Weight: 1, Until: time.Now().Unix() + 1000}
	never := tokenpin.SlotStatus{State: tokenpin.StateDown}
	cases := map[string][]func() (*Pin, *http.Request){}
	add := func(code string, make func() (*Pin, *http.Request)) { cases[code] = append(cases[code], make) }
	for _, status := range []tokenpin.SlotStatus{soon, never} {
		add("no_account_available", func() (*Pin, *http.Request) {
			pin := &Pin{Affinity: newAffinity(t, nil)}
			setAll(t, pin.Affinity, status)
			return pin, post()
		})
		add("session_unavailable", func() (*Pin, *http.Request) {
			pin := &Pin{Affinity: newAffinity(t, nil)}
			first, decision := ask(pin, post())
			if err := pin.Affinity.SetSlot(decision.Slot, status); err != nil {
				t.Fatal(err)
			}
			cookie := first.Result().Cookies()[0]
			return pin, withHeader(httptest.NewRequest("GET", "/v1/responses/1", nil), "Cookie", cookie.Name+"="+cookie.Value)
		})
	}
	for _, header := range [][]string{{"X", "alice", "X", "bob"}, {"X", strings.Repeat("x", tokenpin.MaxKey+1)}} {
		add("bad_affinity_key", func() (*Pin, *http.Request) {
			affinity := newAffinity(t, func(c *tokenpin.Config) { c.RejectBadKeys = true })
			setAll(t, affinity, soon) // and yet no Retry-After: waiting does not help
			return &Pin{Affinity: affinity, ConsumerHeader: "x"}, post(header...)
		})
	}
	for _, path := range []string{"/v1/responses", "/v1/models"} {
		add("bad_tenant", func() (*Pin, *http.Request) {
			long := func(*http.Request) string { return strings.Repeat("x", tokenpin.MaxScope+1) }
			return &Pin{Affinity: newAffinity(t, nil), Scope: long}, httptest.NewRequest("GET", path, nil)
		})
		add("affinity_error", func() (*Pin, *http.Request) {
			pin := &Pin{Affinity: newAffinity(t, nil)}
			if err := pin.Affinity.Close(); err != nil {
				t.Fatal(err)
			}
			return pin, httptest.NewRequest("GET", path, nil)
		})
	}

	for _, row := range rows {
		status, code, message := row[1], row[2], row[3]
		for i, prepare := range cases[code] {
			pin, request := prepare()
			response, decision := ask(pin, request)
			want := fmt.Sprintf(`{"error":{"message":"%s","type":"gateway_error","param":null,"code":"%s"}}`, message, code)
			header := response.Header()
			if strconv.Itoa(response.Code) != status || response.Body.String() != want ||
				header.Get("Content-Type") != "application/json" || header["Set-Cookie"] != nil ||
				decision.Slot != tokenpin.NoSlot {
				t.Errorf("%s %d: %d %s, %v, %v", code, i, response.Code, response.Body, header, decision)
			}
			timed := i == 0 && (code == "no_account_available" || code == "session_unavailable")
			wait, err := strconv.Atoi(header.Get("Retry-After"))
			if (err == nil) != timed || timed && (wait < 900 || wait > 1000) {
				t.Errorf("%s %d: Retry-After %q", code, i, header["Retry-After"])
			}
		}
		if cases[code] == nil {
			t.Errorf("%s has no case", code)
		}
		delete(cases, code)
	}
	if len(cases) != 0 {
		t.Errorf("the page does not know %v", cases)
	}
}

func TestRefuse(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, nil), Refuse: func(w http.ResponseWriter, _ *http.Request, d tokenpin.Decision) {
		http.Error(w, d.Outcome.String(), http.StatusTooManyRequests)
	}}
	setAll(t, pin.Affinity, tokenpin.SlotStatus{State: tokenpin.StateDown})
	if response, _ := ask(pin, post()); response.Code != http.StatusTooManyRequests || response.Body.String() != "none\n" {
		t.Error(response)
	}
}
