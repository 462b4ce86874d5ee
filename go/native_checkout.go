//go:build cgo && !purego && !tokenpin_pkgconfig

package tokenpin

// The folder that `make go-lib` fills.

// #cgo CFLAGS: -I${SRCDIR}/lib
// #cgo LDFLAGS: ${SRCDIR}/lib/libtokenpin.a
import "C"
