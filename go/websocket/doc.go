// Package websocket sends real WebSockets through the middleware. It is its own module, so
// that users of the Go module do not get a WebSocket library.
package websocket
