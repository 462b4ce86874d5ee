//go:build cgo && !purego

package tokenpin

import (
	"fmt"
	"strconv"
	"testing"
)

// What Go says twice is what the library says.

func TestNamesAreTheLibrarys(t *testing.T) {
	enums := []func(int) fmt.Stringer{
		func(n int) fmt.Stringer { return Status(n) },
		func(n int) fmt.Stringer { return Field(n) },
		func(n int) fmt.Stringer { return Kind(n) },
		func(n int) fmt.Stringer { return State(n) },
		func(n int) fmt.Stringer { return Strategy(n) },
		func(n int) fmt.Stringer { return Role(n) },
		func(n int) fmt.Stringer { return Verdict(n) },
		func(n int) fmt.Stringer { return SameSite(n) },
		func(n int) fmt.Stringer { return Group(n) },
		func(n int) fmt.Stringer { return Policy(n) },
		func(n int) fmt.Stringer { return Source(n) },
		func(n int) fmt.Stringer { return Outcome(n) },
		func(n int) fmt.Stringer { return PinState(n) },
		func(n int) fmt.Stringer { return KeyReason(n) },
		func(n int) fmt.Stringer { return Answer(n) },
	}
	for which, value := range enums {
		for n := range 256 {
			want, ok := nativeName(which, n)
			if !ok {
				want = strconv.Itoa(n)
			}
			if got := value(n).String(); got != want {
				t.Errorf("enum %d, %d: %s, and the library says %s", which, n, got, want)
			}
		}
	}
	if _, ok := nativeName(len(enums), 0); ok {
		t.Error("the library has more enums")
	}
}

func TestDefaultsAreTheLibrarys(t *testing.T) {
	if got, want := DefaultConfig(), nativeDefaults(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("%#v, and the library says %#v", got, want)
	}
	none := NoSlot
	if got, want := [...]int64{int64(uint32(none)), MaxWeight, MaxBuckets, MaxScope, MaxKey, MaxCookieKeys, MaxCookieName,
		CookieValueLen, MaxSetCookie, MaxMaxAge, MaxAgeAuto}, nativeLimits(); got != want {
		t.Errorf("%v, and the library says %v", got, want)
	}
}
