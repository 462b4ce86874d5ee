package tokenpin_test

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tokenpin/tokenpin/go"
)

// Ids in a stream of events are sealed while it runs. A proxy that writes to the client instead of
// reading the upstream takes [tokenpin.Affinity.NewSealWriter].
func ExampleAffinity_NewSealReader() {
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{
		{ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!"))},
	}
	config.Slots = []tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
	}
	config.IDs.Mode = tokenpin.ModeSeal
	affinity, err := tokenpin.New(&config)
	if err != nil {
		panic(err)
	}
	defer affinity.Close()

	class, err := affinity.Classify("POST", "/v1/responses")
	if err != nil {
		panic(err)
	}
	upstream := strings.NewReader("event: response.created\n" +
		`data: {"response":{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"}}` + "\n\n")
	use := &tokenpin.IDUse{IDs: class.IDs}
	client, err := affinity.NewSealReader(use, nil, 1, tokenpin.FramingEvents, upstream)
	if err != nil {
		panic(err)
	}
	if _, err := io.Copy(os.Stdout, client); err != nil {
		panic(err)
	}
	// Output:
	// event: response.created
	// data: {"response":{"id":"resp_Z8zTqdp0gZC6p_FXD-kaxgS-yyXEXB1BAdO955di1_jaQviVUPndaK4tp1"}}
}

// Parallel first requests of one client agree on the id of their session, on every replica.
func ExampleAffinity_IDHint() {
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{
		{ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!"))},
	}
	config.Slots = make([]tokenpin.SlotConfig, 16)
	for slot := range config.Slots {
		config.Slots[slot] = tokenpin.SlotConfig{Identity: fmt.Sprint("account-", slot), Status: tokenpin.Up}
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		panic(err)
	}
	defer affinity.Close()

	hint, err := affinity.IDHint("what only this client has")
	if err != nil {
		panic(err)
	}
	served := map[int32]int{}
	for range 100 {
		request := &tokenpin.Request{Method: "POST", Target: "/v1/responses", IDHint: &hint}
		request.Stamp()
		decision, err := affinity.Decide(request)
		if err != nil {
			panic(err)
		}
		served[decision.Slot]++
	}
	fmt.Println(len(served), "account of 16")
	// Output: 1 account of 16
}
