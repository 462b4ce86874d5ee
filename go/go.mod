module github.com/tokenpin/tokenpin/go

go 1.24
