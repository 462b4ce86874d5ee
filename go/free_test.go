//go:build cgo && !purego && !asan

package tokenpin

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// The address sanitizer holds back what is freed.

// resident is the memory of this process, in bytes.
func resident(t *testing.T) (bytes int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var whole, pages int
	if _, err := fmt.Sscan(string(text), &whole, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Affinities that are closed, and affinities that are dropped, give their memory back.
func TestMemoryIsFreed(t *testing.T) {
	config := testConfig()
	for i := range 1 << 14 {
		config.Slots = append(config.Slots, SlotConfig{strconv.Itoa(i), Up})
	}
	made := func(n int) int {
		before := resident(t)
		for i := range n {
			a := must(New(config))
			if i%2 == 0 {
				a.Close()
			}
			if i%10 == 0 {
				runtime.GC()
				time.Sleep(time.Millisecond) // for the goroutine that runs the cleanups
			}
		}
		return resident(t) - before
	}
	made(20)
	const rounds, least = 200, 1 << 14 * 20 // bytes for each: a slot has 16, its place in the index 4
	if grown := made(rounds); grown > rounds*least/2 {
		t.Errorf("%d bytes more after %d affinities", grown, rounds)
	}
}
