// Package websocket sends real WebSockets through the middleware. It is a module of its own, so
// that users of the Go module do not get a WebSocket library.
package websocket
