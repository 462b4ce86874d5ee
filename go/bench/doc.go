// Package bench compares the Go module with its peers, in one run. It is a module of its own, so
// that users of the Go module do not get the peers. `make go-bench` runs it with both backends;
// ../README.md shows the figures.
package bench
