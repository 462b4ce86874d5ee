package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// The demo's stand-in for a provider, whose responses exist in one account only.
const providerFile = "../../../gateways/envoy/demo/provider.py"

var accounts = []string{"a", "b", "c"}

type provider struct{ url string }

func startProvider(t *testing.T) *provider {
	t.Helper()
	if _, err := os.Stat("../../../Cargo.toml"); err != nil {
		t.Skip("the provider is only in the checkout, and not in the module")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the provider needs python3")
	}
	arguments := []string{providerFile, "--watch-cookie", "__Host-tokenpin"}
	environment := os.Environ()
	for _, account := range accounts {
		arguments = append(arguments, account+"=TOKEN_"+account)
		environment = append(environment, "TOKEN_"+account+"=sk-"+account)
	}
	command := exec.Command(python, arguments...)
	command.Env, command.Stderr = environment, os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &provider{"http://127.0.0.1:" + strings.TrimSpace(port)}
}

func (p *provider) control(t *testing.T, method, path string, into any) {
	t.Helper()
	response, body := send(t, http.DefaultClient, method, p.url+"/control/"+path, nil)
	if response.StatusCode != 200 {
		t.Fatal(response.Status)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatal(err)
		}
	}
}

func send(t *testing.T, client *http.Client, method, url string, body any) (*http.Response, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, answer
}

// session is a client with a cookie jar, and a conversation.
type session struct {
	client  *http.Client
	url     string
	last    string // the id of the last response
	account string
	turns   int
}

func newSession(t *testing.T, proxy *httptest.Server) *session {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &session{client: &http.Client{Transport: proxy.Client().Transport, Jar: jar}, url: proxy.URL}
}

// turn continues the conversation.
func (s *session) turn(t *testing.T) (status int) {
	t.Helper()
	body := map[string]any{"model": "m", "input": "x"}
	if s.last != "" {
		body["previous_response_id"] = s.last
	}
	response, answer := send(t, s.client, "POST", s.url+"/v1/responses", body)
	if response.StatusCode == 200 {
		var made struct{ ID string }
		if err := json.Unmarshal(answer, &made); err != nil {
			t.Fatal(err)
		}
		s.turns++
		account := response.Header.Get("X-Demo-Account")
		if s.account != "" && account != s.account ||
			!bytes.Contains(answer, fmt.Appendf(nil, `"This is turn %d, `, s.turns)) {
			t.Errorf("on %s after turn %d on %s: %s", account, s.turns-1, s.account, answer)
		}
		s.last, s.account = made.ID, account
	}
	return response.StatusCode
}

// read reads the last response.
func (s *session) read(t *testing.T) (status int) {
	t.Helper()
	response, _ := send(t, s.client, "GET", s.url+"/v1/responses/"+s.last, nil)
	return response.StatusCode
}

func start(t *testing.T, p *provider) (*httptest.Server, *tokenpin.Affinity) {
	t.Helper()
	environment := map[string]string{
		"PROXY_PLACEMENT_KEY": strings.Repeat("0a", 16), "PROXY_COOKIE_KEY": strings.Repeat("0b", 16),
		"PROXY_TOKENS": "account-a=sk-a account-b=sk-b account-c=sk-c -",
	}
	handler, affinity, err := newProxy(p.url, func(name string) string { return environment[name] }, true)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(handler)
	t.Cleanup(proxy.Close)
	return proxy, affinity
}

func want(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func TestConversations(t *testing.T) {
	provider := startProvider(t)
	proxy, affinity := start(t, provider)
	replica, _ := start(t, provider)

	// Every conversation stays in its account, be it through one proxy or another.
	var sessions []*session
	served := map[string][]*session{}
	for i := range 40 {
		s := newSession(t, proxy)
		if i%4 < 2 { // it is brought back by its ids
			s.client.Jar = nil
		}
		sessions = append(sessions, s)
		for range 3 {
			want(t, "a turn", s.turn(t), 200)
			want(t, "a read", s.read(t), 200)
		}
		served[s.account] = append(served[s.account], s)
	}
	for i, s := range sessions {
		address := []*httptest.Server{proxy, replica}[i%2].URL
		jar := s.client.Jar
		if i%2 == 1 { // the jar knows hosts, not ports
			s.client = &http.Client{Transport: replica.Client().Transport, Jar: jar}
		}
		s.url = address
		want(t, "a turn", s.turn(t), 200)
		s.client, s.url = &http.Client{Transport: proxy.Client().Transport, Jar: jar}, proxy.URL
	}
	if len(served) != len(accounts) { // an account without a session: below 3e-7
		t.Errorf("only %d accounts serve", len(served))
	}

	// An account fails. The first that notices is reported so, the rest is refused by the proxy;
	// sessions on other accounts do not notice.
	failed := served["b"]
	provider.control(t, "POST", "fail/b", nil)
	for _, s := range failed {
		want(t, "a read in the failed account", s.read(t), 503)
	}
	for _, s := range append(served["a"], served["c"]...) {
		want(t, "a turn elsewhere", s.turn(t), 200)
	}
	for range 10 {
		want(t, "a new session", newSession(t, proxy).turn(t), 200)
	}
	var counters struct {
		Requests    map[string]int
		UnknownKeys int `json:"unknown_token"`
		CookieSeen  int `json:"cookie_seen"`
		SealedSeen  int `json:"sealed_seen"`
	}
	provider.control(t, "GET", "counters", &counters)
	if counters.UnknownKeys != 0 || counters.CookieSeen != 0 || counters.SealedSeen != 0 {
		t.Errorf("%+v", counters)
	}

	// It is back, and so are its sessions. The test does not wait for the cooldown.
	provider.control(t, "POST", "recover/b", nil)
	if err := affinity.SetSlot(1, tokenpin.Up); err != nil {
		t.Fatal(err)
	}
	for _, s := range failed {
		want(t, "a read in the recovered account", s.read(t), 200)
		want(t, "a turn in the recovered account", s.turn(t), 200)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	good := map[string]string{
		"PROXY_PLACEMENT_KEY": strings.Repeat("0a", 16), "PROXY_COOKIE_KEY": strings.Repeat("0b", 16),
		"PROXY_TOKENS": "account-a=sk-a",
	}
	for name, bad := range map[string]string{
		"PROXY_PLACEMENT_KEY": "secret", "PROXY_COOKIE_KEY": good["PROXY_PLACEMENT_KEY"], "PROXY_TOKENS": "",
	} {
		_, _, err := newProxy("http://upstream", func(asked string) string {
			if asked == name {
				return bad
			}
			return good[asked]
		}, false)
		if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := newProxy("upstream", func(name string) string { return good[name] }, false); err == nil {
		t.Error("no host")
	}
}
