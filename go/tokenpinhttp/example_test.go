package tokenpinhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

// Affinity in a reverse proxy, in ten lines.
func Example() {
	upstream := provider() // the API of a provider

	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!"))}}
	config.Slots = []tokenpin.SlotConfig{{Identity: "account-a", Status: tokenpin.Up}, {Identity: "account-b", Status: tokenpin.Up}}
	tokens := tokenpinhttp.Bearer("sk-a", "sk-b") // slot by slot
	affinity, err := tokenpin.New(&config)
	if err != nil {
		panic(err)
	}
	pin := &tokenpinhttp.Pin{Affinity: affinity, ConsumerHeader: "X-Consumer"}
	handler := pin.Handler(&httputil.ReverseProxy{Rewrite: tokenpinhttp.Rewrite(upstream, tokens)})

	request := httptest.NewRequest("POST", "/v1/responses", nil)
	request.Header.Set("X-Consumer", "alice")
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	fmt.Println(response.Body)
	// Output: served with Bearer sk-a
}

func provider() *url.URL {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "served with %s", r.Header.Get("Authorization"))
	}))
	upstream, err := url.Parse(server.URL)
	if err != nil {
		panic(err)
	}
	return upstream
}
