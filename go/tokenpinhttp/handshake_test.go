package tokenpinhttp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"testing"

	"github.com/tokenpin/tokenpin/go"
)

// A request is a WebSocket handshake by its method and both of its headers; nothing else is.
func TestHandshakes(t *testing.T) {
	for _, c := range []struct {
		method, connection, upgrade string
		handshake                   bool
	}{
		{"GET", "Upgrade", "websocket", true},
		{"GET", "upgrade", "WebSocket", true},
		{"GET", "keep-alive,\tUpgrade", "websocket", true},
		{"GET", "keep-alive\nUpgrade", "h2c, websocket", true},
		{"GET", "keep-alive", "websocket", false},
		{"GET", "Upgrades", "websocket", false},
		{"GET", "Upgrade", "h2c", false},
		{"GET", "Upgrade", "websocket2", false},
		{"GET", "Upgrade", "", false},
		{"GET", "", "", false},
		{"HEAD", "Upgrade", "websocket", false},
		{"get", "Upgrade", "websocket", false},
	} {
		request := httptest.NewRequest(c.method, "/v1/responses", nil)
		for value := range strings.SplitSeq(c.connection, "\n") {
			request.Header.Add("Connection", value)
		}
		request.Header.Set("Upgrade", c.upgrade)
		if isHandshake(request) != c.handshake {
			t.Errorf("%+v", c)
		}
	}
}

// A proxied connection, from which the raw answer to a request can be read.
func rawAnswer(t *testing.T, pin *Pin, upstream http.HandlerFunc, request string) *http.Response {
	t.Helper()
	server := httptest.NewServer(upstream)
	defer server.Close()
	proxy := httptest.NewServer(pin.Handler(&httputil.ReverseProxy{Rewrite: Rewrite(parse(t, server.URL), Bearer(tokens...))}))
	defer proxy.Close()
	connection, err := net.Dial("tcp", proxy.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprint(connection, request)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// httputil.ReverseProxy writes the answer to a handshake itself. It has our cookie, once, and not
// the upstream's.
func TestSwitching(t *testing.T) {
	for name, pin := range map[string]*Pin{
		"cookie": {Affinity: newAffinity(t, nil)}, "carrier": {Affinity: newAffinity(t, nil), CarrierHeader: "Carried"},
	} {
		response := rawAnswer(t, pin, func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header.Set("Connection", "Upgrade")
			header.Set("Upgrade", r.Header.Get("Upgrade"))
			header["Set-Cookie"] = []string{cookieName + "=an upstream's own", "lang=en", cookieName + "=another; Path=/"}
			header.Set("Carried", "an upstream's own")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}, "GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCarried:\r\n\r\n")
		cookies, carried := response.Cookies(), response.Header["Carried"]
		if response.StatusCode != http.StatusSwitchingProtocols || cookies[0].Name != "lang" ||
			response.Header["Cache-Control"] != nil {
			t.Errorf("%s: %s, %v", name, response.Status, response.Header)
		}
		if name == "carrier" && (len(cookies) != 1 || len(carried) != 1 || len(carried[0]) != tokenpin.CookieValueLen) ||
			name == "cookie" && (len(cookies) != 2 || len(cookies[1].Value) != tokenpin.CookieValueLen || len(carried) != 1) {
			t.Errorf("%s: %v", name, response.Header)
		}
	}
}

// Handlers take the connection over in their own ways, and find the cookie in the header that they
// write.
func TestHijack(t *testing.T) {
	for name, hijack := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"assertion": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() },
		"controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
	} {
		found := make(chan []string, 1)
		server := httptest.NewServer((&Pin{Affinity: newAffinity(t, nil)}).Handler(http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := hijack(w)
				if err != nil {
					found <- []string{err.Error()}
					return
				}
				w.Header().Add("Set-Cookie", cookieName+"=x")
				found <- w.Header()["Set-Cookie"]
				connection.Close()
			})))
		_, _ = http.Post(server.URL+"/v1/responses", "", nil)
		server.Close()
		lines := <-found
		if len(lines) != 1 || !tokenpin.SetCookieMatches(lines[0], cookieName) ||
			strings.HasPrefix(lines[0], cookieName+"=x") {
			t.Errorf("%s: %q", name, lines)
		}
	}
	// If a connection cannot be taken over, the cookie waits for the status.
	response := httptest.NewRecorder()
	(&Pin{Affinity: newAffinity(t, nil)}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrNotSupported) || w.Header()["Set-Cookie"] != nil {
			t.Error(err, w.Header())
		}
		w.WriteHeader(http.StatusBadGateway)
	})).ServeHTTP(response, post())
	if response.Header()["Set-Cookie"] != nil {
		t.Error(response.Header())
	}
}

// The early hints of an upstream set none of our cookies either.
func TestEarlyHints(t *testing.T) {
	server := httptest.NewServer((&Pin{Affinity: newAffinity(t, nil), CarrierHeader: "Carried"}).Handler(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{cookieName, "lang"} {
				w.Header().Add("Set-Cookie", name+"=an upstream's own")
			}
			w.Header().Set("Carried", "an upstream's own")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		})))
	defer server.Close()
	connection, err := textproto.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprint(connection.W, "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	connection.W.Flush()
	for i, status := range []string{"103", "200"} {
		line, err := connection.ReadLine()
		header, _ := connection.ReadMIMEHeader()
		ours := len(header["Set-Cookie"]) == i+1 && header["Set-Cookie"][0] == "lang=an upstream's own"
		if err != nil || !strings.Contains(line, status) || header["Carried"] != nil || !ours {
			t.Errorf("%q, %v, %v", line, header, err)
		}
	}
}
