// Pins a session: its second request, with the cookie of the first, gets the same account.
package main

import (
	"fmt"
	"log"
	"strings"

	"github.com/tokenpin/tokenpin/go"
)

func main() {
	accounts := []string{"account-a", "account-b"}
	config := tokenpin.DefaultConfig()
	// 16 random bytes each, from your secret store, the same on every replica.
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	secret := tokenpin.Secret([]byte("a cookie secret!"))
	config.CookieKeys = []tokenpin.CookieKey{{ID: 1, Role: tokenpin.RoleSign, Secret: secret}}
	for _, name := range accounts {
		config.Slots = append(config.Slots, tokenpin.SlotConfig{Identity: name, Status: tokenpin.Up})
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		log.Fatal(err)
	}

	request := tokenpin.Request{Method: "POST", Target: "/v1/responses"}
	request.Stamp() // the clock, and 16 random bytes
	decision, err := affinity.Decide(&request)
	if err != nil || decision.Slot < 0 {
		log.Fatal("no account can serve: ", err)
	}
	fmt.Println("a new session:", accounts[decision.Slot])

	// Send it with that account's token. Then, with the status of the account's response:
	line, answer, err := affinity.Finish(nil, &decision, 200)
	if err != nil || answer != tokenpin.AnswerSetCookie {
		log.Fatal("no cookie: ", err)
	}
	fmt.Printf("Set-Cookie: %s\n", line)

	cookie, _, _ := strings.Cut(string(line), ";")
	request.Method, request.Target, request.Cookies = "GET", "/v1/responses/resp_1", []string{cookie}
	decision, err = affinity.Decide(&request)
	if err != nil || decision.Slot < 0 {
		log.Fatal("no account can serve: ", err)
	}
	fmt.Printf("its next request: %s, %s\n", accounts[decision.Slot], decision.Outcome)
}
