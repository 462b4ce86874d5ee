package tokenpin

import (
	"math/rand/v2"
	"testing"
)

// The module's own figures, of the backend that is built. The bench folder compares them with those
// of others.

func BenchmarkDecide(b *testing.B) {
	a := must(New(testConfig()))
	r := pinnedRequest(b, a)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := a.Decide(r); err != nil || d.Verdict != VerdictValid {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkFinish(b *testing.B) {
	a := must(New(testConfig()))
	d, buffer := must(a.Decide(testRequest())), make([]byte, 0, MaxSetCookie)
	b.ReportAllocs()
	for b.Loop() {
		if _, answer, err := a.Finish(buffer, &d, 200); err != nil || answer != AnswerSetCookie {
			b.Fatal(answer, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	ring := must(NewKeyRing(testConfig().CookieKeys, nil))
	value := string(must(ring.Encode(nil, "pin", "", Key{}, Cookie{})))
	b.ReportAllocs()
	for b.Loop() {
		if verdict, _, err := ring.Decode("pin", "", Key{}, Limits{}, 0, value); err != nil || verdict != VerdictValid {
			b.Fatal(verdict, err)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	slots := must(NewSlots(testConfig().Slots))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := slots.Select(StrategyJump, Filter{}, rand.Uint64()); err != nil {
			b.Fatal(err)
		}
	}
}

// An operation is one key.
func BenchmarkSelectBatch(b *testing.B) {
	slots := must(NewSlots(testConfig().Slots))
	hashes, selected := make([]uint64, 1<<16), make([]int32, 1024)
	for i := range hashes {
		hashes[i] = rand.Uint64()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += len(selected) {
		from := hashes[i%len(hashes):][:len(selected)]
		if err := slots.SelectBatch(selected, StrategyJump, Filter{}, from); err != nil {
			b.Fatal(err)
		}
	}
}
