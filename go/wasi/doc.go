// Package wasi runs the Go module's tests, the shared vectors among them, as a WASI program under
// wazero. It is its own module, so that users of the Go module do not get a wasm runtime.
package wasi
