// Package tokenpin pins sessions to upstream API tokens. A gateway that holds several accounts of
// one model provider asks it, for each request, which account serves it and which cookie is
// returned. Every replica gives the same answer, without shared storage.
//
// For an HTTP proxy, start with package tokenpinhttp, which does all of this in ten lines.
// Otherwise build an [Affinity] with [New] once. For each request, fill in a [Request], call
// [Request.Stamp] and [Affinity.Decide], and send the request with the token of the slot that the
// [Decision] names, without the affinity's cookie ([CookieStrip]). For its response, call
// [Affinity.Finish] with the status; it returns the Set-Cookie line. When a token fails, drains or
// gets another weight, call [Affinity.SetSlot]. The single steps of a decision are here too:
// [KeyHash], [Slots], [KeyRing], [Classify].
//
// # Sealed ids
//
// For clients that keep no cookies, the ids that they were given name the account. Set
// [IDConfig].Mode. [Affinity.Classify] says which requests have ids. For these,
// [Affinity.OpenTarget], and [Affinity.OpenInPlace] or [Affinity.NewOpenReader], open the ids of
// the request, and their result goes into [Request].IDs. [Affinity.NewSealWriter],
// [Affinity.NewSealReader] and [Affinity.SealTarget] seal the response while it streams. [IDRing]
// seals and opens single ids.
//
// # Two backends
//
// With cgo, the package calls the library libtokenpin, written in Rust: one call for each function
// here, and no allocation. Without cgo (CGO_ENABLED=0, and GOOS=wasip1), a backend in pure Go does
// the same. Both give the same answers, as shared vectors and fuzzing test. The build chooses by
// itself; [Backend] names the choice. The build tags are
//
//	(none)               in a checkout of tokenpin, after `make go-lib`
//	tokenpin_pkgconfig   with an installed library, found by pkg-config
//	purego               pure Go, even where cgo is enabled
//
// Over cgo, Linux on amd64 and arm64 is supported. Pure Go runs wherever Go does. With neither
// library nor tag, the compiler says what to do. A library of another interface version does not
// link, because it has no tokenpin_abi_v1.
//
// # Rules that hold for all of it
//
// An error is a [Status], or a [ConfigError] around one, so errors.Is finds the sentinels. Errors
// never contain an argument, and a call that fails changes nothing. Any number of goroutines may
// use everything concurrently, and nothing waits for a lock. Strings may hold any bytes, and are
// borrowed for the call; a [Config] is copied. Times are unix seconds. Only [Request.Stamp] reads a
// clock or draws random numbers, and nothing logs. Printed values of this package show no secrets
// and no cookies.
package tokenpin
