//go:build cgo && linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The filter in a real Envoy, whose executable TOKENPIN_ENVOY names, in front of the demo's
// stand-in for a provider.

const patience = 30 * time.Second

var accounts = []string{"a", "b", "c"}

func run(t *testing.T, environment []string, name string, arguments ...string) io.Reader {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Env, command.Stderr = append(os.Environ(), environment...), os.Stderr
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
	return output
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + " did not happen")
		}
	}
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// startEnvoy gives the URL of the gateway.
func startEnvoy(t *testing.T, envoy, folder, provider string, environment []string) string {
	t.Helper()
	template, err := os.ReadFile("envoy.yaml.in")
	if err != nil {
		t.Fatal(err)
	}
	configuration, admin := filepath.Join(folder, "envoy.yaml"), filepath.Join(folder, "admin")
	text := strings.ReplaceAll(string(template), "$PROVIDER_PORT", provider)
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, append(environment, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+folder), envoy, "-c", configuration,
		"--concurrency", "2", "--disable-hot-restart", "--log-level", "warning", "--admin-address-path", admin)
	address := ""
	eventually(t, "Envoy's start", func() bool {
		text, err := os.ReadFile(admin)
		if err != nil || len(text) == 0 {
			return false
		}
		address = "http://" + strings.TrimSpace(string(text))
		response, err := http.Get(address + "/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == 200
	})
	var listeners struct {
		Statuses []struct {
			Local struct {
				Socket struct {
					Port json.Number `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	get(t, address+"/listeners?format=json", &listeners)
	if len(listeners.Statuses) != 1 {
		t.Fatalf("%+v", listeners)
	}
	return "http://127.0.0.1:" + listeners.Statuses[0].Local.Socket.Port.String()
}

func TestInEnvoy(t *testing.T) {
	envoy := os.Getenv("TOKENPIN_ENVOY")
	if envoy == "" {
		t.Skip("TOKENPIN_ENVOY does not name an Envoy")
	}
	folder := t.TempDir()
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(folder, "libtokenpin_go.so"), ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	environment := []string{"PLACEMENT_KEY=" + strings.Repeat("0a", 16), "COOKIE_KEY=" + strings.Repeat("0b", 16)}
	arguments := []string{"../../../gateways/envoy/demo/provider.py", "--watch-cookie", "pin"}
	for _, account := range accounts {
		environment = append(environment, "TOKEN_"+account+"=sk-"+account)
		arguments = append(arguments, account+"=TOKEN_"+account)
	}
	output := run(t, environment, "python3", arguments...)
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	provider := strings.TrimSpace(port)
	gateway := startEnvoy(t, envoy, folder, provider, environment)

	// Conversations: each turn needs the account of the one before.
	served := map[string]bool{}
	for session := range 40 {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client, consumer, last := &http.Client{Jar: jar}, "", ""
		if session%2 == 1 {
			consumer = "consumer-" + string(rune('A'+session))
		}
		for turn := range 5 {
			body := map[string]any{"model": "m", "input": "x"}
			if last != "" {
				body["previous_response_id"] = last
			}
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequest("POST", gateway+"/v1/responses", bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Cookie", "theme=dark")
			if consumer != "" {
				request.Header.Set("X-Consumer", consumer)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var made struct{ ID string }
			err = json.NewDecoder(response.Body).Decode(&made)
			response.Body.Close()
			cookies := response.Cookies()
			if err != nil || response.StatusCode != 200 || (len(cookies) == 1) != (consumer == "" && turn == 0) {
				t.Fatalf("session %d, turn %d: %s, %v, %v", session, turn, response.Status, cookies, err)
			}
			last, served[response.Header.Get("X-Demo-Account")] = made.ID, true
		}
	}
	if len(served) != len(accounts) { // an account without a session: below 1e-6, for 20 are drawn and 20 fixed
		t.Errorf("only %v serve", served)
	}
	var counters struct {
		Unknown    int `json:"unknown_token"`
		CookieSeen int `json:"cookie_seen"`
	}
	get(t, "http://127.0.0.1:"+provider+"/control/counters", &counters)
	if counters.Unknown != 0 || counters.CookieSeen != 0 {
		t.Errorf("%+v", counters)
	}
}
