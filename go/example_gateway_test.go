package tokenpin_test

import (
	"fmt"
	"net/http"

	"github.com/tokenpin/tokenpin/go"
)

// gateway sends the requests of clients to the accounts of one provider.
type gateway struct {
	affinity *tokenpin.Affinity
	tokens   []string // the accounts' secrets, slot by slot
	send     func(token string) (status int)
}

func newGateway(send func(string) int) (*gateway, error) {
	config := tokenpin.DefaultConfig()
	// 16 random bytes each, from a secret store, the same on every replica.
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{
		{ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!"))},
	}
	config.Slots = []tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up}, // a name that outlives the token
		{Identity: "account-b", Status: tokenpin.Up},
		{Status: tokenpin.SlotStatus{State: tokenpin.StateVacant}}, // room to grow
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		return nil, err
	}
	return &gateway{affinity, []string{"sk-a", "sk-b", ""}, send}, nil
}

// serve sends a request of a consumer that the gateway has authenticated, or of an unknown client.
// An account that answers 429 gets no new sessions for a while. Another account serves then, if
// nothing ties the request to this one.
func (g *gateway) serve(consumer, method, target string) (status int, token, setCookie string) {
	request := &tokenpin.Request{
		Method: method, Target: target, Consumers: []string{consumer}, ConsumerTrusted: true,
	}
	request.Stamp() // the clock, and 16 random bytes
	for {
		decision, err := g.affinity.Decide(request)
		if err != nil {
			return http.StatusInternalServerError, "", ""
		}
		if decision.Slot == tokenpin.NoSlot {
			_, status := decision.Refusal()
			return status, "", ""
		}
		token := g.tokens[decision.Slot]
		status := g.send(token)
		if status == http.StatusTooManyRequests {
			cooldown := tokenpin.SlotStatus{
				State: tokenpin.StateDraining, Weight: tokenpin.MaxWeight, Until: request.Now + 30,
			}
			if err := g.affinity.SetSlot(decision.Slot, cooldown); err == nil && decision.MayMove {
				request.Tried = append(request.Tried, decision.Slot)
				continue
			}
		}
		line, _, err := g.affinity.Finish(nil, &decision, status)
		if err != nil {
			return http.StatusInternalServerError, "", ""
		}
		return status, token, string(line)
	}
}

// A gateway: decide, send, finish. A consumer keeps the account without a cookie, and other clients
// get one.
func Example_gateway() {
	limited := ""
	gateway, err := newGateway(func(token string) int {
		if token == limited {
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	})
	if err != nil {
		panic(err)
	}
	defer gateway.affinity.Close()

	_, first, _ := gateway.serve("alice", "POST", "/v1/responses")
	_, again, _ := gateway.serve("alice", "GET", "/v1/responses/resp_1")
	fmt.Println("alice:", first, again)

	// The state of this consumer is in the account, so the request does not move.
	limited = first
	status, token, _ := gateway.serve("alice", "POST", "/v1/responses")
	fmt.Println("alice:", status, token)

	// A new session has no state yet.
	status, token, cookie := gateway.serve("", "POST", "/v1/responses")
	fmt.Println("new:", status, token, cookie != "")
	// Output:
	// alice: sk-a sk-a
	// alice: 429 sk-a
	// new: 200 sk-b true
}
