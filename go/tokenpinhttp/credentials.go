package tokenpinhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
)

// clientCredentials are headers in which clients of the known APIs send their credentials.
var clientCredentials = [...]string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key"}

// Credentials are, slot by slot, what makes a request one of an account's. They are not printed.
type Credentials struct {
	slots []http.Header
	names []string // of the headers of all slots
}

// NewCredentials makes credentials of the headers that each slot's account is known by. A header without values is
// only removed from the request.
func NewCredentials(slots ...http.Header) Credentials {
	made := Credentials{slots: make([]http.Header, len(slots))}
	for slot, header := range slots {
		made.slots[slot] = http.Header{}
		for name, values := range header {
			for _, value := range values {
				made.slots[slot].Add(name, value)
			}
			made.names = append(made.names, http.CanonicalHeaderKey(name))
		}
	}
	slices.Sort(made.names)
	made.names = slices.Compact(made.names)
	return made
}

// Bearer makes credentials of tokens, slot by slot, that go into the header Authorization.
func Bearer(tokens ...string) Credentials {
	slots := make([]http.Header, len(tokens))
	for slot, token := range tokens {
		slots[slot] = http.Header{"Authorization": {"Bearer " + token}}
	}
	return NewCredentials(slots...)
}

// Put makes the headers of a request those of the account that serves it. The client's own are removed: those that any
// slot has, and Authorization, Api-Key, X-Api-Key and X-Goog-Api-Key in any case. A key in the query, or among the
// protocols of a WebSocket, is left to the host. ctx is the context of the request inside Handler; with another one,
// nothing is set.
func (c Credentials) Put(ctx context.Context, header http.Header) {
	for _, name := range clientCredentials {
		delete(header, name)
	}
	for _, name := range c.names {
		delete(header, name)
	}
	if d, ok := DecisionFrom(ctx); ok && int(d.Slot) < len(c.slots) {
		for name, values := range c.slots[d.Slot] {
			header[name] = slices.Clone(values)
		}
	}
}

// Format writes how many there are, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "credentials of %d slots", len(c.slots))
}

// Rewrite is for httputil.ReverseProxy behind Handler. It sends a request to the upstream as the account of the
// slot that serves it. Where accounts have upstreams of their own, write another one, with DecisionFrom and Put.
func Rewrite(upstream *url.URL, credentials Credentials) func(*httputil.ProxyRequest) {
	return func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		credentials.Put(r.In.Context(), r.Out.Header)
	}
}
