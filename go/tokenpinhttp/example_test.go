package tokenpinhttp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

// Affinity in a reverse proxy, in ten lines.
func Example() {
	upstream := provider() // the API of a provider

	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	config.Slots = []tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
	}
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

// Without a cookie: the id in the answer says which account has it.
func ExamplePin_Handler() {
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	config.Slots = []tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
	}
	config.IDs.Mode = tokenpin.ModeSeal
	affinity, err := tokenpin.New(&config)
	if err != nil {
		panic(err)
	}
	var account int32
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decision, _ := tokenpinhttp.DecisionFrom(r.Context())
		body, _ := io.ReadAll(r.Body)
		fmt.Println(string(body), decision.Source, decision.Slot == account)
		account = decision.Slot
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"resp_1"}`)
	})
	handler := (&tokenpinhttp.Pin{Affinity: affinity}).Handler(upstream)

	account = -1
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("POST", "/v1/responses", strings.NewReader(`{"input":"Hello"}`)))
	var answer struct{ ID string }
	if err := json.Unmarshal(response.Body.Bytes(), &answer); err != nil {
		panic(err)
	}
	next := `{"previous_response_id":"` + answer.ID + `"}`
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/responses", strings.NewReader(next)))

	response = httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("GET", "/v1/responses/resp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxtp7", nil))
	fmt.Println(response.Code, response.Body)
	// Output:
	// {"input":"Hello"} minted false
	// {"previous_response_id":"resp_1"} id true
	// 404 {"error":{"message":"The object 'resp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxtp7' named by 'path' was not found.","type":"invalid_request_error","param":"path","code":"not_found"}}
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
