module github.com/tokenpin/tokenpin/go/bench

go 1.24

require (
	github.com/dgryski/go-jump v0.0.0-20170409065014-e1f439676b57
	github.com/gorilla/securecookie v1.1.2
	github.com/tokenpin/tokenpin/go v0.0.0
)

replace github.com/tokenpin/tokenpin/go => ../
