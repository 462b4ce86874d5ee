package tokenpin_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tokenpin/tokenpin/go"
)

func exampleConfig() *tokenpin.Config {
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	config.Slots = []tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
		{Status: tokenpin.SlotStatus{State: tokenpin.StateVacant}}, // kept for growth
	}
	return &config
}

// A new session gets a token and a cookie; the cookie brings it back to the token.
func Example() {
	affinity, err := tokenpin.New(exampleConfig())
	if err != nil {
		panic(err)
	}
	defer affinity.Close()

	request := &tokenpin.Request{Method: "POST", Target: "/v1/responses"}
	request.Stamp()
	decision, err := affinity.Decide(request)
	if err != nil {
		panic(err)
	}
	fmt.Println(decision.Source, decision.Outcome, decision.Slot != tokenpin.NoSlot)

	// ... the response has come ...
	line, answer, err := affinity.Finish(nil, &decision, 200)
	if err != nil || answer != tokenpin.AnswerSetCookie {
		panic(err)
	}
	pair, attributes, _ := strings.Cut(string(line), ";")
	fmt.Println(attributes)

	// The client's next request.
	request = &tokenpin.Request{Method: "GET", Target: "/v1/responses/1", Cookies: []string{"theme=dark; " + pair}}
	request.Stamp()
	next, err := affinity.Decide(request)
	if err != nil {
		panic(err)
	}
	fmt.Println(next.Source, next.Outcome, next.Slot == decision.Slot)
	fmt.Println(tokenpin.CookieStrip(request.Cookies[0], "__Host-tokenpin"))
	// Output:
	// minted placed true
	//  Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax
	// cookie pinned true
	// theme=dark
}

// A token fails: its sessions move, and only they. It comes back by itself at the time that is set.
func ExampleAffinity_SetSlot() {
	affinity, err := tokenpin.New(exampleConfig())
	if err != nil {
		panic(err)
	}
	request := &tokenpin.Request{
		Method: "POST", Target: "/v1/responses", Consumers: []string{"alice"}, ConsumerTrusted: true,
	}
	request.Stamp()
	before, _ := affinity.Decide(request)

	cooldown := tokenpin.SlotStatus{State: tokenpin.StateDown, Weight: tokenpin.MaxWeight, Until: request.Now + 30}
	if err := affinity.SetSlot(before.Slot, cooldown); err != nil {
		panic(err)
	}
	meanwhile, _ := affinity.Decide(request)
	request.Now += 30
	after, _ := affinity.Decide(request)
	fmt.Println(meanwhile.Slot == before.Slot, after.Slot == before.Slot)
	// Output: false true
}

func ExampleConfigError() {
	config := exampleConfig()
	config.Slots[1].Identity = "account-a"
	_, err := tokenpin.New(config)
	fmt.Println(err)
	fmt.Println(errors.Is(err, tokenpin.ErrDuplicateIdentity))
	var where *tokenpin.ConfigError
	if errors.As(err, &where) {
		fmt.Println(where.Status.String(), where.Field, where.Index)
	}
	// Output:
	// tokenpin: slots[1]: two slots have the same identity
	// true
	// duplicate_identity slots 1
}

// Selection only, by a key.
func ExampleSlots_Select() {
	slots, err := tokenpin.NewSlots([]tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
		{Identity: "account-c", Status: tokenpin.Up},
	})
	if err != nil {
		panic(err)
	}
	placementKey := tokenpin.Secret{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for _, consumer := range []string{"alice", "carol"} {
		key := tokenpin.Key{Kind: tokenpin.KindConsumer, Key: consumer}
		hash, err := tokenpin.KeyHash(&placementKey, "", key)
		if err != nil {
			panic(err)
		}
		slot, err := slots.Select(tokenpin.StrategyJump, tokenpin.Filter{}, hash)
		fmt.Println(consumer, slot, err)
	}
	// Output:
	// alice 2 <nil>
	// carol 0 <nil>
}

// Many keys in one call.
func ExampleSlots_SelectBatch() {
	slots, err := tokenpin.NewSlots([]tokenpin.SlotConfig{
		{Identity: "account-a", Status: tokenpin.Up},
		{Identity: "account-b", Status: tokenpin.Up},
	})
	if err != nil {
		panic(err)
	}
	hashes := []uint64{1, 2, 3, 4}
	selected := make([]int32, len(hashes))
	err = slots.SelectBatch(selected, tokenpin.StrategyJump, tokenpin.Filter{}, hashes)
	fmt.Println(selected, err)
	// Output: [0 0 0 1] <nil>
}

// The cookie only.
func ExampleKeyRing() {
	ring, err := tokenpin.NewKeyRing(exampleConfig().CookieKeys, nil)
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	pin, _ := tokenpin.IdentityHash("account-a")
	cookie := tokenpin.Cookie{Pin: pin, IssuedAt: 1_800_000_000, RefreshedAt: 1_800_000_000, ID: [16]byte{1}}
	value, err := ring.Encode(nil, "pin", "", tokenpin.Key{}, cookie)
	if err != nil {
		panic(err)
	}
	limits := tokenpin.Limits{Skew: 300, MaxLife: 3600}
	for _, now := range []int64{1_800_000_000, 1_800_003_601} {
		verdict, read, err := ring.Decode("pin", "", tokenpin.Key{}, limits, now, string(value))
		fmt.Println(verdict, read == cookie, err)
	}
	verdict, _, _ := ring.Decode("pin", "another scope", tokenpin.Key{}, limits, 1_800_000_000, string(value))
	fmt.Println(verdict)
	// Output:
	// valid true <nil>
	// expired_life true <nil>
	// bad_tag
}

func ExampleJump() {
	bucket, err := tokenpin.Jump(256, 1024)
	fmt.Println(bucket, err)
	_, err = tokenpin.Jump(256, 0)
	fmt.Println(err)
	// Output:
	// 520 <nil>
	// tokenpin: the number of buckets is not 1 to 2147483647
}

func ExampleClassify() {
	for _, request := range []string{"POST /v1/responses", "GET /v1/files/file-1?x=y", "POST /v1/embeddings"} {
		method, target, _ := strings.Cut(request, " ")
		class, err := tokenpin.Classify(nil, false, false, method, target)
		fmt.Println(class.Group, class.Existing, class.IDs, err)
	}
	// Output:
	// stateful false items <nil>
	// stateful true both <nil>
	// stateless false none <nil>
}

func ExampleSetCookieWrite() {
	attributes := tokenpin.Attributes{Secure: true, SameSite: tokenpin.SameSiteStrict}
	line, err := tokenpin.SetCookieWrite(nil, "pin", "value", &attributes, 60)
	fmt.Println(string(line), err)
	_, err = tokenpin.SetCookieWrite(nil, "__Host-pin", "value", &tokenpin.Attributes{}, 60)
	fmt.Println(errors.Is(err, tokenpin.ErrNamePrefix))
	// Output:
	// pin=value; Path=/; Max-Age=60; Secure; SameSite=Strict <nil>
	// true
}

// A conversation without a cookie: the response's id says where it is, and the next request brings
// it back.
func ExampleAffinity_OpenInPlace() {
	config := exampleConfig()
	config.IDs.Mode = tokenpin.ModeSeal
	affinity, err := tokenpin.New(config)
	if err != nil {
		panic(err)
	}

	// decide opens the ids of a request, and gives what goes upstream, and to which slot.
	decide := func(target, body string) (*tokenpin.IDSummary, *tokenpin.IDUse, tokenpin.Decision, string) {
		request := &tokenpin.Request{Method: "POST", Target: target, IDs: new(tokenpin.IDSummary)}
		request.Stamp()
		class, err := affinity.Classify(request.Method, request.Target)
		if err != nil {
			panic(err)
		}
		use := &tokenpin.IDUse{IDs: class.IDs}
		if _, err := affinity.OpenTarget(use, request.IDs, target); err != nil {
			panic(err)
		}
		opened, _, err := affinity.OpenInPlace(use, request.IDs, []byte(body))
		if err != nil {
			panic(err)
		}
		decision, err := affinity.Decide(request)
		if err != nil {
			panic(err)
		}
		return request.IDs, use, decision, string(opened)
	}

	ids, use, first, _ := decide("/v1/responses", `{"input":"Hello"}`)
	// ... the account of first.Slot answers ...
	var client strings.Builder
	response, err := affinity.NewSealWriter(use, ids, first.Slot, tokenpin.FramingJSON, &client)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(response, `{"id":"resp_67ccd3a9da748190`)
	fmt.Fprint(response, `baa7f1570fe91ac604becb25c45c1d41"}`) // as the chunks come
	if err := response.Close(); err != nil {
		panic(err)
	}
	sealed := strings.TrimSuffix(strings.TrimPrefix(client.String(), `{"id":"`), `"}`)
	fmt.Println(len(sealed), sealed[:5], sealed[len(sealed)-3:])

	_, _, next, opened := decide("/v1/responses", `{"input":"More","previous_response_id":"`+sealed+`"}`)
	fmt.Println(next.Source, next.Outcome, next.Slot == first.Slot)
	fmt.Println(opened)

	// One that was not sealed here.
	_, _, refused, _ := decide("/v1/responses/x"+sealed+"/cancel", "")
	fmt.Println(refused.Slot == tokenpin.NoSlot, refused.IDVerdict)
	fmt.Println(refused.Refusal())
	// Output:
	// 63 resp_ tp1
	// id pinned true
	// {"input":"More","previous_response_id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"}
	// true bad_seal
	// not_found 404
}

func ExampleIDRing() {
	ring, err := tokenpin.NewIDRing(exampleConfig().CookieKeys, nil)
	if err != nil {
		panic(err)
	}
	pin, err := tokenpin.IdentityHash("account-a")
	if err != nil {
		panic(err)
	}
	sealed, err := ring.Seal(nil, "", "", pin, "file-AbCdEfGhIjKlMnOpQrStUv")
	fmt.Println(string(sealed), err)
	native, opened, err := ring.Open(nil, "", "", string(sealed))
	fmt.Println(string(native), opened.Verdict, opened.Pin == pin, err)
	_, opened, err = ring.Open(nil, "another scope", "", string(sealed))
	fmt.Println(opened.Verdict, err)
	// Output:
	// file-AbCdEfGhIjKlMnOpQrStUvAaKnYHt6NPOzkiefUApgT7otp0 <nil>
	// file-AbCdEfGhIjKlMnOpQrStUv sealed true <nil>
	// bad_seal <nil>
}
