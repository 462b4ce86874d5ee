//go:build cgo && !purego && tokenpin_pkgconfig

package tokenpin

// An installed library, where pkg-config finds it.

// #cgo pkg-config: tokenpin
import "C"
