package tokenpinhttp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenpin/tokenpin/go"
)

const nativeID = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"

func withMode(mode tokenpin.Mode) func(*tokenpin.Config) {
	return func(c *tokenpin.Config) { c.IDs.Mode = mode }
}

// provider answers each request as a table says, and keeps what it was asked.
type provider struct {
	mutex  sync.Mutex
	asked  []*http.Request
	bodies []string
	answer http.HandlerFunc
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mutex.Lock()
	p.asked, p.bodies = append(p.asked, r), append(p.bodies, string(body))
	p.mutex.Unlock()
	p.answer(w, r)
}

// last is what was asked last.
func (p *provider) last() (*http.Request, string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.asked[len(p.asked)-1], p.bodies[len(p.bodies)-1]
}

func (p *provider) count() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return len(p.asked)
}

// answering is a gateway in front of a provider with that answer, and a client that keeps nothing.
func answering(t *testing.T, pin *Pin, header http.Header, status int, body string) (*provider, string, *http.Client) {
	t.Helper()
	p := &provider{answer: func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
	url, client := gateway(t, pin, p.ServeHTTP)
	client.Jar = nil
	return p, url, client
}

func send(t *testing.T, client *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// sealedID is an id as a pin gives it for an account.
func sealedID(t *testing.T, pin *Pin, slot int32, id string) string {
	t.Helper()
	target, err := pin.Affinity.SealTarget(&tokenpin.IDUse{IDs: tokenpin.IDsItems}, nil, slot, "/v1/responses/"+id)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(target, "/v1/responses/")
}

func TestASessionWithoutCookiesStays(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	p, url, client := answering(t, pin, jsonHeader, 200, `{"id":"`+nativeID+`"}`)
	accounts := map[string]bool{}
	for range 30 {
		_, body := send(t, client, "POST", url+"/v1/responses", `{"input":"Hello"}`, "Content-Type", "application/json")
		var made struct{ ID string }
		if err := json.Unmarshal([]byte(body), &made); err != nil || made.ID == nativeID || len(made.ID) != 63 {
			t.Fatal(body, err)
		}
		first, _ := p.last()
		account := first.Header.Get("Authorization")
		accounts[account] = true

		_, body = send(t, client, "POST", url+"/v1/responses", `{"previous_response_id":"`+made.ID+`"}`)
		if r, asked := p.last(); asked != `{"previous_response_id":"`+nativeID+`"}` ||
			r.Header.Get("Authorization") != account ||
			r.ContentLength != int64(len(asked)) || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s, %v", asked, r.Header)
		}
		if !strings.Contains(body, made.ID) {
			t.Error(body)
		}
		send(t, client, "GET", url+"/v1/responses/"+made.ID+"/input_items?after="+made.ID+"&limit=2", "")
		if r, _ := p.last(); r.RequestURI != "/v1/responses/"+nativeID+"/input_items?after="+nativeID+"&limit=2" ||
			r.Header.Get("Authorization") != account {
			t.Errorf("%s, %v", r.RequestURI, r.Header)
		}
	}
	if len(accounts) != len(tokens) {
		t.Errorf("only %v", accounts)
	}
}

// A body that is not opened passes unchanged.
func TestRequestsThatNameNothingPassAsTheyAre(t *testing.T) {
	for _, mode := range []tokenpin.Mode{tokenpin.ModeOff, tokenpin.ModeOpen, tokenpin.ModeSeal, tokenpin.ModeStrict} {
		pin := &Pin{Affinity: newAffinity(t, withMode(mode))}
		p, url, client := answering(t, pin, nil, 200, "")
		for _, body := range []string{`{"input":"Hello"}`, "", `{"input":[ {"role":"user", "content":"\u00e9"} ] }`} {
			send(t, client, "POST", url+"/v1/responses?x=%41&y", body, "Digest", "sha-256=x", "Content-Type", "application/json")
			if r, asked := p.last(); asked != body || r.RequestURI != "/v1/responses?x=%41&y" || r.Header.Get("Digest") == "" {
				t.Errorf("%v: %q became %q, %s, %v", mode, body, asked, r.RequestURI, r.Header)
			}
		}
		// Chunks have no length before, and one behind.
		request, _ := http.NewRequest("POST", url+"/v1/responses", io.MultiReader(
			strings.NewReader(`{"input":`), strings.NewReader(`"x"}`),
		))
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if r, asked := p.last(); asked != `{"input":"x"}` || r.ContentLength != int64(len(asked)) {
			t.Errorf("%v: %q, %d", mode, asked, r.ContentLength)
		}
	}
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	p, url, client := answering(t, pin, nil, 200, "")
	send(t, client, "POST", url+"/v1/responses", `{"previous_response_id":"`+sealedID(t, pin, 1, nativeID)+`"}`,
		"Digest", "x", "Content-Md5", "x")
	if r, _ := p.last(); r.Header.Get("Digest")+r.Header.Get("Content-Md5") != "" {
		t.Error(r.Header)
	}
}

func TestPathsAreOpenedBehindOtherHandlers(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	id := sealedID(t, pin, 2, nativeID)
	for path, want := range map[string]string{
		"/gateway/v1/responses/" + id:        "/v1/responses/" + nativeID,
		"/gateway/v1/responses/%72" + id[1:]: "/v1/responses/" + nativeID,
		"/gateway/v1/files/a%2Fb/" + id:      "/v1/files/a%2Fb/" + id,
		"/gateway/v1/a%20b/responses/" + id:  "/v1/a%20b/responses/" + nativeID,
	} {
		var asked string
		handler := http.StripPrefix("/gateway", pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked = r.URL.EscapedPath()
		})))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		if asked != want {
			t.Errorf("%s became %s, not %s", path, asked, want)
		}
		if !strings.HasPrefix(path, "/gateway/v1/files") { // without the slash in front
			http.StripPrefix("/gateway/", pin.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked = r.URL.EscapedPath()
			}))).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
			if asked != want[1:] {
				t.Errorf("%s became %s, not %s", path, asked, want[1:])
			}
		}
	}
}

func TestEventsAreSealedAsTheyCome(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	next := make(chan bool)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for i := range 5 {
			fmt.Fprintf(w, "event: x\ndata: {\"n\":%d,\"response_id\":\"%s\"}\n\n", i, nativeID)
			w.(http.Flusher).Flush()
			<-next
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	defer upstream.Close()
	proxy := httptest.NewServer(pin.Handler(&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, upstream.URL), Bearer(tokens...)), FlushInterval: -1}))
	defer proxy.Close()
	response, err := http.Post(proxy.URL+"/v1/responses", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 5 { // an event has come before the next is sent
		var event []string
		for len(event) < 3 && lines.Scan() {
			event = append(event, lines.Text())
		}
		text := strings.Join(event, "\n")
		if !strings.HasPrefix(text, fmt.Sprintf("event: x\ndata: {\"n\":%d,\"response_id\":\"resp_", i)) ||
			!strings.HasSuffix(text, "tp1\"}\n") {
			t.Fatalf("%q", text)
		}
		next <- true
	}
	if !lines.Scan() || lines.Text() != "data: [DONE]" {
		t.Error(lines.Text())
	}
}

func TestWhatIsSaidOfABodyIsTrueOfItsSealedForm(t *testing.T) {
	const plain = `{"id":"` + nativeID + `"}`
	header := func(contentType string, more ...string) http.Header {
		made := http.Header{"Content-Type": {contentType}, "Etag": {`"x"`}, "Accept-Ranges": {"bytes"}, "Digest": {"x"},
			"Content-Md5": {"x"}, "Repr-Digest": {"x"}, "Content-Digest": {"x"}, "X-Other": {"x"}}
		for i := 0; i < len(more); i += 2 {
			made[more[i]] = []string{more[i+1]}
		}
		return made
	}
	var zipped bytes.Buffer
	compressor := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(compressor, plain)
	compressor.Close()
	for what, c := range map[string]struct {
		mode         tokenpin.Mode
		method, path string
		header       http.Header
		status       int
		body         string
		sealed       bool
	}{
		"json": {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json"), 200, plain, true},
		"json in strict": {tokenpin.ModeStrict, "GET", "/v1/files", header("application/problem+json"),
			200, `{"id":"file-1"}`, true},
		"events": {tokenpin.ModeSeal, "POST", "/v1/responses", header("Text/Event-Stream;x"),
			200, "x: y\ndata: " + plain + "\n\n", true},
		"an error": {tokenpin.ModeSeal, "POST", "/v1/responses", header("application/json"), 429, plain, true},
		"no type":  {tokenpin.ModeSeal, "GET", "/v1/responses", header(""), 200, plain, true},
		"a weak tag": {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json", "Etag", `W/"x"`),
			200, plain, true},
		"head": {tokenpin.ModeSeal, "HEAD", "/v1/responses", header("application/json", "Content-Length", "9"),
			200, "", true},
		"text":         {tokenpin.ModeSeal, "GET", "/v1/responses", header("text/plain"), 200, plain, false},
		"a part":       {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json"), 206, plain, false},
		"not modified": {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json"), 304, "", false},
		"nothing":      {tokenpin.ModeSeal, "DELETE", "/v1/responses", header("application/json"), 204, "", false},
		"a file":       {tokenpin.ModeSeal, "GET", "/v1/files/x/content", header("application/json"), 200, plain, false},
		"results": {tokenpin.ModeSeal, "GET", "/v1/messages/batches/x/results", header("application/json"),
			200, plain, false},
		"compressed": {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json", "Content-Encoding", "gzip"),
			200, zipped.String(), false},
		"identity": {tokenpin.ModeSeal, "GET", "/v1/responses", header("application/json", "Content-Encoding", "Identity"),
			200, plain, true},
		"open":           {tokenpin.ModeOpen, "GET", "/v1/responses", header("application/json"), 200, plain, false},
		"off":            {tokenpin.ModeOff, "GET", "/v1/responses", header("application/json"), 200, plain, false},
		"an API without": {tokenpin.ModeSeal, "GET", "/v1/models", header("application/json"), 200, plain, false},
		"opened only":    {tokenpin.ModeSeal, "POST", "/v1/chat/completions", header("application/json"), 200, plain, false},
	} {
		pin := &Pin{Affinity: newAffinity(t, withMode(c.mode))}
		_, url, client := answering(t, pin, c.header, c.status, c.body)
		response, body := send(t, client, c.method, url+c.path, "", "Accept-Encoding", "gzip")
		if c.sealed && c.method != "HEAD" {
			if body == c.body || !strings.Contains(body, `tp`) || len(body) <= len(c.body) {
				t.Errorf("%s: %s", what, body)
			}
		} else if body != c.body {
			t.Errorf("%s: %q", what, body)
		}
		if c.status == 304 {
			delete(c.header, "Content-Type") // which net/http takes off
		}
		for name, values := range c.header {
			gone := c.sealed && name != "Content-Type" && name != "X-Other" && name != "Content-Encoding" &&
				!strings.HasPrefix(values[0], "W/")
			if got := response.Header.Get(name); (got == "") != gone && values[0] != "" {
				t.Errorf("%s: %s: %s", what, name, got)
			}
		}
		if response.StatusCode != c.status {
			t.Errorf("%s: %d", what, response.StatusCode)
		}
	}
}

func TestURLsLeadBackThroughTheGateway(t *testing.T) {
	for _, origin := range []string{"", "https://gateway.example"} {
		pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), Origin: origin}
		p := &provider{}
		p.answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "/v1/responses/"+nativeID)
			w.Header().Set("Operation-Location", "http://"+r.Host+"/v1/files/file-1?x")
			fmt.Fprintf(w, `{"results_url":"http://%s/v1/messages/batches/msgbatch_1/results"}`, r.Host)
		}
		url, client := gateway(t, pin, p.ServeHTTP)
		response, body := send(t, client, "POST", url+"/v1/messages/batches", "{}")
		if origin == "" {
			origin = url
		}
		if !strings.HasPrefix(body, `{"results_url":"`+origin+`/v1/messages/batches/msgbatch_1A`) || !strings.HasSuffix(body, `tp0/results"}`) {
			t.Error(body)
		}
		if location := response.Header.Get("Location"); !strings.HasPrefix(location, "/v1/responses/resp_Z8z") ||
			!strings.HasSuffix(location, "tp1") {
			t.Error(location)
		}
		if location := response.Header.Get("Operation-Location"); !strings.HasSuffix(location, "tp0?x") {
			t.Error(location)
		}
	}
}

// An account that an id names serves, or none does.
func TestIDsAreFollowedOrRefused(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	strict := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeStrict))}
	other := &Pin{Affinity: newAffinity(t, func(c *tokenpin.Config) {
		withMode(tokenpin.ModeSeal)(c)
		c.Slots[0].Identity, c.Slots[1].Identity, c.Slots[2].Identity = "x", "y", "z"
	})}
	upgrades := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeOpen)), RefuseUpgrades: true}
	small := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxBody: 30}
	crowded := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxHeldBodies: 5}
	down := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	setAll(t, down.Affinity, tokenpin.SlotStatus{State: tokenpin.StateDown, Until: time.Now().Unix() + 100})
	first, second := sealedID(t, pin, 0, nativeID), sealedID(t, pin, 1, "file-1")
	gone := sealedID(t, other, 0, nativeID)
	forged := "x" + sealedID(t, pin, 0, "resp_1")
	long := "resp_" + strings.Repeat("A", 57) + "tp7"
	content := "gAAAAABo"
	ring, err := tokenpin.NewIDRing([]tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := ring.Mark(nil, "", "", 12345, content)
	if err != nil {
		t.Fatal(err)
	}
	upgrade := []string{
		"Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
	}
	// As they are in the URL and in JSON, both written otherwise than they are quoted.
	escaped := strings.Replace(forged, "r", "%72", 1)
	unicode := strings.Replace(forged, "r", "\\u0072", 1)
	type named struct{ key, second, id string }
	cases := map[string]struct {
		pin                *Pin
		method, path, body string
		header             []string
		code               string
		named              named
	}{
		"a previous response": {pin, "POST", "/v1/responses", `{"previous_response_id":"` + unicode + `"}`,
			nil, "previous_response_not_found", named{key: "previous_response_id", id: forged}},
		"one that is gone": {pin, "POST", "/v1/responses", `{"previous_response_id":"` + gone + `"}`,
			nil, "previous_response_not_found", named{key: "previous_response_id", id: gone}},
		"a long one": {pin, "POST", "/v1/responses", `{"previous_response_id":"` + long + `"}`,
			nil, "previous_response_not_found", named{key: "previous_response_id"}},
		"a path": {pin, "GET", "/v1/responses/" + escaped, "", nil, "not_found", named{key: "path", id: forged}},
		"no id in a path": {strict, "GET", "/v1/responses/resp_1%252F%27%22%0A", "",
			nil, "not_found", named{key: "path"}},
		"a file": {pin, "POST", "/v1/responses", `{"input":[{"file_id":"` + forged + `"}]}`,
			nil, "not_found", named{key: "file_id", id: forged}},
		"behind another": {pin, "POST", "/v1/responses",
			`{"previous_response_id":"` + first + `","file_id":"` + forged + `"}`,
			nil, "not_found", named{key: "file_id", id: forged}},
		"two accounts": {pin, "POST", "/v1/vector_stores/" + second + "/files", `{"file_id":"` + first + `"}`,
			nil, "conflicting_accounts", named{"path", "file_id", ""}},
		"encrypted": {pin, "POST", "/v1/responses", `{"input":[{"encrypted_content":"` + content + string(mark) + `"}]}`,
			nil, "invalid_encrypted_content", named{}},
		"down": {down, "GET", "/v1/responses/" + first, "", nil, "session_unavailable", named{}},
		"plain": {strict, "GET", "/v1/responses/" + nativeID, "",
			nil, "not_found", named{key: "path", id: nativeID}},
		"hidden": {pin, "POST", "/v1/responses", `{"file_id":"` + strings.Repeat(`\u0066`, 100) + `"}`,
			nil, "unreadable_body", named{}},
		"no JSON":  {strict, "POST", "/v1/responses", `{"input"}`, nil, "unreadable_body", named{}},
		"no UTF-8": {strict, "POST", "/v1/responses", "{\"input\":\"\xff\"}", nil, "unreadable_body", named{}},
		"another type": {strict, "POST", "/v1/responses", "x=y",
			[]string{"Content-Type", "application/x-www-form-urlencoded"}, "unsupported_content_type", named{}},
		"multipart": {strict, "POST", "/v1/responses", "x",
			[]string{"Content-Type", "multipart/form-data; boundary=x"}, "unsupported_content_type", named{}},
		"compressed": {pin, "POST", "/v1/responses", "x",
			[]string{"Content-Encoding", "gzip"}, "unsupported_content_encoding", named{}},
		"too long": {small, "POST", "/v1/responses", `{"input":"` + strings.Repeat("x", 30) + `"}`,
			nil, "request_too_large", named{}},
		"too many": {crowded, "POST", "/v1/responses", `{"input":"x"}`, nil, "too_many_bodies", named{}},
		"behind a header": {pin, "POST", "/v1/responses", `{"previous_response_id":"` + forged + `"}`,
			[]string{"Connection", "upgrade", "Upgrade", "h2c"},
			"previous_response_not_found", named{key: "previous_response_id", id: forged}},
		"a websocket": {pin, "GET", "/v1/responses", "", upgrade, "websocket_not_supported", named{}},
		"one in open": {upgrades, "GET", "/v1/responses", "", upgrade, "websocket_not_supported", named{}},
	}
	page, err := os.ReadFile("../../docs/guides/embedding.md")
	if err != nil {
		t.Skip("the pages are only in the checkout, and not in the module")
	}
	_, section, _ := strings.Cut(string(page), "\n## Refusals for ids\n")
	section, _, _ = strings.Cut(section, "\n## ")
	row := regexp.MustCompile("(?m)^\\| .* \\| (\\d+) \\| `(\\w+)` \\| (.*) \\| (.*) \\|$")
	rows := row.FindAllStringSubmatch(section, -1)
	// Of the other table, where the account of an id is down.
	rows = append(rows, []string{"", "503", "session_unavailable", "null", "The session's account is unavailable."})
	seen := map[string]bool{}
	for what, c := range cases {
		seen[c.code] = true
		at := slices.IndexFunc(rows, func(row []string) bool { return row[2] == c.code })
		if at < 0 {
			t.Fatalf("the page does not know %s", c.code)
		}
		status, param, message := rows[at][1], rows[at][3], rows[at][4]
		quoted := ""
		if c.named.id != "" {
			quoted = " '" + c.named.id + "'"
		}
		message = strings.NewReplacer("*id*", quoted, "*key*", c.named.key, "*second key*", c.named.second).Replace(message)
		if param != "null" {
			param = `"` + map[string]string{"key": c.named.key, "second key": c.named.second}[param] + `"`
		}
		for _, anthropic := range []bool{false, true} {
			p, url, client := answering(t, c.pin, nil, 200, "")
			header := append([]string{"Content-Type", "application/json"}, c.header...)
			if anthropic {
				header = append(header, "Anthropic-Version", "2023-06-01")
			}
			response, body := send(t, client, c.method, url+c.path, c.body, header...)
			kind := "invalid_request_error"
			switch {
			case status == "503" && anthropic:
				kind = "api_error"
			case status == "503":
				kind = "gateway_error"
			case status == "404" && anthropic:
				kind = "not_found_error"
			case status == "413" && anthropic:
				kind = "request_too_large"
			}
			want := fmt.Sprintf(`{"error":{"message":"%s","type":"%s","param":%s,"code":"%s"}}`, message, kind, param, c.code)
			if anthropic {
				want = fmt.Sprintf(`{"type":"error","error":{"type":"%s","message":"%s"}}`, kind, message)
			}
			if strconv.Itoa(response.StatusCode) != status || body != want || p.count() != 0 ||
				response.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d, %s, not %s", what, response.StatusCode, body, want)
			}
			wait := response.Header.Get("Retry-After")
			if (wait != "") != (status == "503") || (response.Header.Get("Upgrade") == "HTTP/1.1") != (status == "426") ||
				(response.Header.Get("Accept-Encoding") == "identity") != (c.code == "unsupported_content_encoding") {
				t.Errorf("%s: %v", what, response.Header)
			}
		}
	}
	if len(rows) != 11 || len(seen) != len(rows) {
		t.Errorf("of %d rows, %v were seen", len(rows), seen)
	}

	// And what passes.
	for what, c := range map[string]struct {
		pin                *Pin
		method, path, body string
		header             []string
	}{
		"realtime": {pin, "GET", "/v1/realtime/responses", "", upgrade},
		"a websocket in open": {&Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeOpen))},
			"GET", "/v1/responses", "", upgrade},
		"an upload": {strict, "POST", "/v1/files", "x",
			[]string{"Content-Type", "multipart/form-data; boundary=x"}},
		"another type in seal": {pin, "POST", "/v1/responses", "x", []string{"Content-Type", "text/plain"}},
		"compressed in open": {&Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeOpen))},
			"POST", "/v1/responses", "x", []string{"Content-Encoding", "gzip"}},
		"foreign in open": {&Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeOpen))},
			"GET", "/v1/responses/x" + first, "", nil},
		"no JSON in seal": {pin, "POST", "/v1/responses", `{"input"}`, nil},
		"long in off": {&Pin{Affinity: newAffinity(t, nil), MaxBody: 10},
			"POST", "/v1/responses", `{"input":"` + strings.Repeat("x", 30) + `"}`, nil},
		"many in off": {&Pin{Affinity: newAffinity(t, nil), MaxHeldBodies: 10},
			"POST", "/v1/responses", `{"input":"` + strings.Repeat("x", 30) + `"}`, nil},
		"as long as it may be": {&Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxBody: 13},
			"POST", "/v1/responses", `{"input":"x"}`, nil},
		"an API without ids": {small, "POST", "/v1/embeddings", strings.Repeat("x", 100), nil},
	} {
		p, url, client := answering(t, c.pin, nil, 200, "")
		response, body := send(t, client, c.method, url+c.path, c.body,
			append([]string{"Content-Type", "application/json"}, c.header...)...)
		if response.StatusCode != 200 || p.count() != 1 {
			t.Errorf("%s: %d, %s", what, response.StatusCode, body)
		} else if _, asked := p.last(); asked != c.body {
			t.Errorf("%s: %q became %q", what, c.body, asked)
		}
	}
}

// A body that comes in chunks tells no one how long it is.
func TestALongBodyInChunksIsRefused(t *testing.T) {
	for _, mode := range []tokenpin.Mode{tokenpin.ModeSeal, tokenpin.ModeOff} {
		pin := &Pin{Affinity: newAffinity(t, withMode(mode)), MaxBody: 100 << 10}
		p, url, client := answering(t, pin, nil, 200, "")
		for _, size := range []int{100 << 10, 100<<10 + 1, 1 << 20} {
			body := strings.Repeat(" ", size)
			request, _ := http.NewRequest("POST", url+"/v1/responses", io.MultiReader(strings.NewReader(body)))
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			want := 200
			if size > 100<<10 && mode == tokenpin.ModeSeal {
				want = 413
			}
			if response.StatusCode != want {
				t.Errorf("%v, %d bytes: %d", mode, size, response.StatusCode)
			}
			if _, asked := p.last(); want == 200 && asked != body {
				t.Errorf("%v, %d bytes: %d", mode, size, len(asked))
			}
		}
	}
}

// The bytes behind a handshake over HTTP/2 are no body, and do not end.
func TestNobodyWaitsForTheEndOfAWebSocket(t *testing.T) {
	for mode, want := range map[tokenpin.Mode]int{
		tokenpin.ModeOff: 200, tokenpin.ModeOpen: 200, tokenpin.ModeSeal: 426, tokenpin.ModeStrict: 426,
	} {
		pin := &Pin{Affinity: newAffinity(t, withMode(mode))}
		endless, _ := io.Pipe()
		request := httptest.NewRequest("CONNECT", "/v1/responses", endless)
		request.ProtoMajor, request.URL.Path = 2, "/v1/responses"
		if response, _ := ask(pin, request); response.Code != want || response.Header()["Upgrade"] != nil {
			t.Errorf("%v: %d, %v", mode, response.Code, response.Header())
		}
	}
}

// A response may last. The body of its request does not.
func TestBodiesAreLetGoOnceTheyAreSent(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxHeldBodies: 5000}
	end := make(chan bool)
	p := &provider{answer: func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-end
	}}
	url, client := gateway(t, pin, p.ServeHTTP)
	defer close(end)
	body := `{"input":"` + strings.Repeat("x", 3000) + `"}`
	for range 5 {
		response, err := client.Post(url+"/v1/responses", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("%d", response.StatusCode)
		}
	}
}

// Bodies that are done with do not count any more.
func TestHeldBodiesAreLetGo(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxHeldBodies: 1000}
	_, url, client := answering(t, pin, nil, 200, "")
	for range 50 {
		body := `{"input":"` + strings.Repeat("x", 800) + `"}`
		if response, text := send(t, client, "POST", url+"/v1/responses", body); response.StatusCode != 200 {
			t.Fatal(text)
		}
		if response, text := send(t, client, "POST", url+"/v1/responses", body+body); response.StatusCode != 503 {
			t.Fatal(text)
		}
	}
}

// A body that names state is never taken for a new session's, in any mode.
func TestBodiesThatNameStateNeverMove(t *testing.T) {
	for _, mode := range []tokenpin.Mode{tokenpin.ModeOff, tokenpin.ModeOpen, tokenpin.ModeSeal} {
		for body, existing := range map[string]bool{`{"previous_response_id":"resp_1"}`: true, `{"input":"x"}`: false} {
			for _, passes := range []bool{false, true} {
				pin := &Pin{Affinity: newAffinity(t, withMode(mode)), PassBodies: passes}
				r := httptest.NewRequest("POST", "/v1/responses", strings.NewReader(body))
				_, decision := ask(pin, r)
				if want := existing && !(passes && mode == tokenpin.ModeOff); decision.Existing != want {
					t.Errorf("%v, %s: %v", mode, body, decision.Existing)
				}
				// A created object is found again by its id.
				if decision.MayMove != (mode == tokenpin.ModeSeal && !existing) {
					t.Errorf("%v, %s: may move %v", mode, body, decision.MayMove)
				}
			}
		}
	}
}

func TestRetryNeverLeavesTheAccountOfAnID(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	for body, moves := range map[string]bool{
		`{"input":"x"}`: true,
		`{"previous_response_id":"` + sealedID(t, pin, 1, nativeID) + `"}`: false,
	} {
		recorder := httptest.NewRecorder()
		pin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			first, _ := DecisionFrom(r.Context())
			if Retry(r.Context()) != moves {
				t.Errorf("%s: not %v", body, moves)
			}
			now, _ := DecisionFrom(r.Context())
			if (now.Slot != first.Slot) != moves || !moves && now.Slot != 1 {
				t.Errorf("%s: %d, %d", body, first.Slot, now.Slot)
			}
			// The response is of the account that gives it.
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"`+nativeID+`"}`)
			if want := sealedID(t, pin, now.Slot, nativeID); !strings.Contains(recorder.Body.String(), want) {
				t.Errorf("%s, not %s", recorder.Body, want)
			}
		})).ServeHTTP(recorder, httptest.NewRequest("POST", "/v1/responses", strings.NewReader(body)))
	}
}

// The next handler sees headers that fit the body; the caller of the handler sees the original
// ones.
func TestHeadersOfARequestAreThoseOfItsBody(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal)), MaxHeldBodies: 200}
	body := `{"previous_response_id":"` + sealedID(t, pin, 1, nativeID) + `"}`
	want := strconv.Itoa(len(`{"previous_response_id":"` + nativeID + `"}`))
	handler := pin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Length") != want || r.Header.Get("Digest") != "" {
			t.Error(r.Header)
		}
	}))
	for range 3 { // whose bodies no one reads
		request := httptest.NewRequest("POST", "/v1/responses", strings.NewReader(body))
		request.Header.Set("Content-Length", strconv.Itoa(len(body)))
		request.Header.Set("Digest", "x")
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		if response.Code != 200 || request.Header.Get("Digest") != "x" ||
			request.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Error(response.Code, request.Header)
		}
	}
}

func TestNothingOfAResponseIsLost(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}
	for _, text := range []string{
		`{"id":"resp_1`, `{"id":"resp_1"`, `{"encrypted_content":"gAA`, "data: {\"id\":\"resp_",
	} {
		_, url, client := answering(t, pin, jsonHeader, 200, text)
		_, body := send(t, client, "GET", url+"/v1/responses", "")
		if want := text; !strings.Contains(text, `1"`) && body != want || len(body) < len(text) {
			t.Errorf("%s, not %s", body, want)
		}
	}
}

// In the mode open a client gets back what it sent.
func TestOpenSealsOnlyForThoseWhoSentSealed(t *testing.T) {
	pin := &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeOpen))}
	p, url, client := answering(t, pin, jsonHeader, 200, `{"id":"`+nativeID+`"}`)
	for _, id := range []string{
		nativeID, sealedID(t, &Pin{Affinity: newAffinity(t, withMode(tokenpin.ModeSeal))}, 2, nativeID),
	} {
		if _, body := send(t, client, "GET", url+"/v1/responses/"+id, ""); body != `{"id":"`+id+`"}` {
			t.Error(body)
		}
		if r, _ := p.last(); r.URL.Path != "/v1/responses/"+nativeID {
			t.Error(r.URL)
		}
	}
}

func TestIDsOfOneConsumerAreRefusedToAnother(t *testing.T) {
	pin := &Pin{ConsumerHeader: "X-Consumer", Affinity: newAffinity(t, func(c *tokenpin.Config) {
		withMode(tokenpin.ModeSeal)(c)
		c.IDs.Owner = tokenpin.IDOwnerConsumer
	})}
	_, url, client := answering(t, pin, jsonHeader, 200, `{"id":"`+nativeID+`"}`)
	_, body := send(t, client, "POST", url+"/v1/responses", "{}", "X-Consumer", "alice")
	id := strings.TrimSuffix(strings.TrimPrefix(body, `{"id":"`), `"}`)
	for consumer, want := range map[string]int{"alice": 200, "bob": 404, "": 404} {
		response, body := send(t, client, "GET", url+"/v1/responses/"+id, "", "X-Consumer", consumer)
		if response.StatusCode != want {
			t.Errorf("%q: %d, %s", consumer, response.StatusCode, body)
		}
	}
}
