// Package bench compares the Go module with its peers, in one run. It is its own module, so
// that users of the Go module do not get the peers. `make go-bench` runs it with both backends;
// ../README.md shows the figures.
package bench
