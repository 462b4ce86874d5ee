module github.com/tokenpin/tokenpin/go/websocket

go 1.25.0

require (
	github.com/coder/websocket v1.8.15
	github.com/tokenpin/tokenpin/go v0.0.0
	golang.org/x/net v0.52.0
)

require golang.org/x/text v0.35.0 // indirect

replace github.com/tokenpin/tokenpin/go => ../
