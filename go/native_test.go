//go:build cgo && !purego

package tokenpin

import (
	"fmt"
	"strconv"
	"testing"
)

// Go's copies of names and numbers are the library's.

func TestNamesAreTheLibrarys(t *testing.T) {
	check := func(which, n int, got fmt.Stringer) {
		want, ok := nativeName(which, n)
		if !ok {
			want = strconv.Itoa(n)
		}
		if got.String() != want {
			t.Errorf("enum %d, %d: %s, and the library says %s", which, n, got, want)
		}
	}
	for n := range 256 {
		check(0, n, Status(n))
		for which, value := range enums {
			check(which+1, n, value(uint8(n)))
		}
	}
	if _, ok := nativeName(len(enums)+1, 0); ok {
		t.Error("the library has more enums")
	}
}

func TestDefaultsAreTheLibrarys(t *testing.T) {
	if got, want := DefaultConfig(), nativeDefaults(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("%#v, and the library says %#v", got, want)
	}
	none := NoSlot
	if got, want := [...]int64{int64(uint32(none)), MaxWeight, MaxUntil, MaxBuckets, MaxScope, MaxKey,
		MaxCookieKeys, MaxCookieName, CookieValueLen, MaxAttribute, MaxSetCookie, MaxMaxAge, MaxAgeAuto,
		MaxID, MaxSealedID, IDMarkLen, int64(noIDKey)}, nativeLimits(); got != want {
		t.Errorf("%v, and the library says %v", got, want)
	}
}
