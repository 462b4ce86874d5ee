package bench

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/dgryski/go-jump"
	"github.com/gorilla/securecookie"

	"github.com/tokenpin/tokenpin/go"
)

// That many different keys that the processor's branch predictor cannot learn them, as it cannot in
// traffic.
const keyCount = 1 << 16

const batch = 1024

var (
	hashes    [keyCount]uint64
	consumers [keyCount]string
	slot      int32 // the benchmarks' sink
)

func init() {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range hashes {
		hashes[i], consumers[i] = random.Uint64(), "consumer-"+strconv.Itoa(random.IntN(1<<20))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func config(n int) *tokenpin.Config {
	c := tokenpin.DefaultConfig()
	c.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	c.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	for i := range n {
		c.Slots = append(c.Slots, tokenpin.SlotConfig{Identity: "account-" + strconv.Itoa(i), Status: tokenpin.Up})
	}
	return &c
}

// From the hash of a key to a slot.
func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{4, 16, 64} {
		benchmarkSelect(b, fmt.Sprintf("n=%d", n), config(n).Slots)
		b.Run(fmt.Sprintf("n=%d/go-jump", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				slot = jump.Hash(hashes[i%keyCount], n)
			}
		})
	}
}

// The same where the home slot of a quarter of the keys, or of half of them, cannot serve.
func BenchmarkSelectWithSlotsDown(b *testing.B) {
	for _, n := range []int{4, 64, 1024} {
		for _, step := range []int{4, 2} {
			slots := config(n).Slots
			for i := 0; i < n; i += step {
				slots[i].Status.State = tokenpin.StateDown
			}
			benchmarkSelect(b, fmt.Sprintf("n=%d/%d%%-down", n, 100/step), slots)
		}
	}
}

func benchmarkSelect(b *testing.B, name string, config []tokenpin.SlotConfig) {
	slots := must(tokenpin.NewSlots(config))
	b.Run(name+"/tokenpin-"+tokenpin.Backend, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			slot, _ = slots.Select(tokenpin.StrategyJump, tokenpin.Filter{}, hashes[i%keyCount])
		}
	})
	b.Run(name+"/tokenpin-"+tokenpin.Backend+"-batch", func(b *testing.B) {
		b.ReportAllocs()
		selected := make([]int32, batch)
		b.ResetTimer()
		for i := 0; i < b.N; i += batch { // an operation is one key
			from := hashes[i%keyCount:][:batch]
			if err := slots.SelectBatch(selected, tokenpin.StrategyJump, tokenpin.Filter{}, from); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// From a consumer's name to a slot.
func BenchmarkConsumer(b *testing.B) {
	const n = 16
	slots, placementKey := must(tokenpin.NewSlots(config(n).Slots)), config(n).PlacementKey
	b.Run("tokenpin-"+tokenpin.Backend, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			key := tokenpin.Key{Kind: tokenpin.KindConsumer, Key: consumers[i%keyCount]}
			hash, _ := tokenpin.KeyHash(&placementKey, "", key)
			slot, _ = slots.Select(tokenpin.StrategyJump, tokenpin.Filter{}, hash)
		}
	})
	b.Run("higress", func(b *testing.B) { // as Higress ai-proxy does it
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h := fnv.New32a()
			_, _ = h.Write([]byte(consumers[i%keyCount]))
			slot = int32(h.Sum32() % n)
		}
	})
}

// The peer without encryption: ours does not encrypt the id either. "raw" leaves out its default
// serialization.
func peers() map[string]*securecookie.SecureCookie {
	hashKey := []byte(strings.Repeat("k", 32))
	return map[string]*securecookie.SecureCookie{
		"securecookie":     securecookie.New(hashKey, nil),
		"securecookie-raw": securecookie.New(hashKey, nil).SetSerializer(securecookie.NopEncoder{}),
	}
}

const name = "__Host-tokenpin"

// The contents of the peer's cookies: as much as ours, an id and a pin.
var payload = []byte("0123456789abcdefaccount1")

func BenchmarkEncode(b *testing.B) {
	ring := must(tokenpin.NewKeyRing(config(1).CookieKeys, nil))
	cookie := tokenpin.Cookie{Pin: 1, IssuedAt: 1_800_000_000, RefreshedAt: 1_800_000_000, ID: [16]byte{1}}
	b.Run("tokenpin-"+tokenpin.Backend, func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, tokenpin.CookieValueLen)
		for b.Loop() {
			buffer = must(ring.Encode(buffer[:0], name, "", tokenpin.Key{}, cookie))
		}
	})
	for _, peer := range []string{"securecookie", "securecookie-raw"} {
		codec := peers()[peer]
		b.Run(peer, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(codec.Encode(name, payload))
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	ring := must(tokenpin.NewKeyRing(config(1).CookieKeys, nil))
	cookie := tokenpin.Cookie{Pin: 1, IssuedAt: 1_800_000_000, RefreshedAt: 1_800_000_000, ID: [16]byte{1}}
	value := string(must(ring.Encode(nil, name, "", tokenpin.Key{}, cookie)))
	limits := tokenpin.Limits{Skew: 300, MaxLife: 2592000}
	b.Run("tokenpin-"+tokenpin.Backend, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			verdict, _, err := ring.Decode(name, "", tokenpin.Key{}, limits, 1_800_000_000, value)
			if verdict != tokenpin.VerdictValid || err != nil {
				b.Fatal(verdict, err)
			}
		}
	})
	for _, peer := range []string{"securecookie", "securecookie-raw"} {
		codec := peers()[peer]
		value := must(codec.Encode(name, payload))
		b.Run(peer, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var into []byte
				if err := codec.Decode(name, value, &into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The whole decision, from the request's header fields.
func BenchmarkDecide(b *testing.B) {
	affinity := must(tokenpin.New(config(16)))
	request := func() *tokenpin.Request {
		r := &tokenpin.Request{Method: "POST", Target: "/v1/responses"}
		r.Stamp()
		return r
	}
	fresh, consumer, cookie := request(), request(), request()
	consumer.Consumers, consumer.ConsumerTrusted = []string{"alice"}, true
	minted := must(affinity.Decide(fresh))
	line, _, err := affinity.Finish(nil, &minted, 200)
	if err != nil {
		b.Fatal(err)
	}
	pair, _, _ := strings.Cut(string(line), ";")
	cookie.Cookies = []string{"theme=dark; " + pair}
	for _, c := range []struct {
		name    string
		request *tokenpin.Request
	}{{"cookie", cookie}, {"consumer", consumer}, {"new", fresh}} {
		b.Run(c.name+"/tokenpin-"+tokenpin.Backend, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := affinity.Decide(c.request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("finish/tokenpin-"+tokenpin.Backend, func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, tokenpin.MaxSetCookie)
		for b.Loop() {
			if _, _, err := affinity.Finish(buffer, &minted, 200); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stamp/tokenpin-"+tokenpin.Backend, func(b *testing.B) { // the clock and 16 random bytes
		b.ReportAllocs()
		for b.Loop() {
			fresh.Stamp()
		}
	})
}
