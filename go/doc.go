// Package tokenpin pins sessions to upstream API tokens. A gateway that holds several accounts of
// one model provider asks it, for each request, which account serves it and which cookie is
// returned. Every replica gives the same answer, without shared storage.
//
// For an HTTP proxy, start with package tokenpinhttp, which does all of this in ten lines.
// Otherwise: build an [Affinity] with [New] once; fill in a [Request], [Request.Stamp] it, and ask
// [Affinity.Decide]; send the request with the token of the slot that the [Decision] names, without
// the affinity's cookie ([CookieStrip]); and call [Affinity.Finish] with the response's status for
// the Set-Cookie line. Where a token fails, is drained or gets another weight, call
// [Affinity.SetSlot]. The parts of a decision are there as their own functions, too.
//
// # Sealed ids
//
// A client without cookies is brought back by the ids that it was given. With [IDConfig].Mode set,
// [Affinity.OpenTarget] and [Affinity.OpenInPlace], or [Affinity.NewOpenReader], take the seals off
// a request, and what they say goes into [Request].IDs; [Affinity.NewSealWriter],
// [Affinity.NewSealReader] and [Affinity.SealTarget] seal a response while it streams.
// [Affinity.Classify] says for which requests. [IDRing] does it for single ids.
//
// # Two backends
//
// With cgo, the package calls the library libtokenpin, written in Rust: one call for each function
// here, and no allocation. Without cgo (CGO_ENABLED=0, and GOOS=wasip1), a backend in pure Go does
// the same. Both give the same answers, which is tested on shared vectors and by fuzzing. Nothing
// has to be done to choose between them; [Backend] says which one is there. The build tags are
//
//	(none)               in a checkout of tokenpin, after `make go-lib`
//	tokenpin_pkgconfig   with an installed library, found by pkg-config
//	purego               pure Go, even where cgo is enabled
//
// Over cgo, Linux on amd64 and arm64 is supported. Pure Go runs wherever Go does. With neither
// library nor tag, the compiler says what to do; a library of another interface version does not
// link, for it has no tokenpin_abi_v1.
//
// # Rules that hold for all of it
//
// Errors are a [Status] or a [ConfigError] around one, so errors.Is finds the sentinels; they never
// contain what was passed in, and a call that fails changes nothing. Everything may be used by any
// number of goroutines concurrently, and nothing waits for a lock. Strings may hold any bytes, and
// are borrowed for the call; a [Config] is copied. Times are unix seconds. Nothing reads a clock or
// draws random numbers but [Request.Stamp], and nothing logs. Secrets and cookies do not appear
// when values of this package are printed.
package tokenpin
