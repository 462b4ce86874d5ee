module github.com/tokenpin/tokenpin/go/bench

go 1.24

require (
	github.com/dgryski/go-jump v0.0.0-20170409065014-e1f439676b57
	github.com/gorilla/securecookie v1.1.2
	github.com/tidwall/gjson v1.18.0
	github.com/tidwall/sjson v1.2.5
	github.com/tokenpin/tokenpin/go v0.0.0
)

require (
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
)

replace github.com/tokenpin/tokenpin/go => ../
