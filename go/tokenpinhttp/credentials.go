package tokenpinhttp

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/tokenpin/tokenpin/go"
)

// Credentials are the headers that authenticate a request as an account, slot by slot. They are
// never printed.
type Credentials struct {
	slots []http.Header
	names map[string]bool // of the headers of all slots, folded
}

// NewCredentials makes credentials from the headers of each slot's account. A header without values
// is only removed from the request.
func NewCredentials(slots ...http.Header) Credentials {
	made := Credentials{slots: make([]http.Header, len(slots)), names: map[string]bool{}}
	for slot, header := range slots {
		made.slots[slot] = http.Header{}
		for name, values := range header {
			for _, value := range values {
				made.slots[slot].Add(name, value)
			}
			made.names[folded(name)] = true
		}
	}
	return made
}

// Bearer makes credentials from tokens, slot by slot, for the header Authorization.
func Bearer(tokens ...string) Credentials {
	slots := make([]http.Header, len(tokens))
	for slot, token := range tokens {
		slots[slot] = http.Header{"Authorization": {"Bearer " + token}}
	}
	return NewCredentials(slots...)
}

// Put sets the headers of the account that serves a request, and removes the client's own
// credentials from headers and trailers. Those are
//
//   - the headers of all slots;
//   - names with one of these words: authorization, auth, token, jwt, secret, password, credential,
//     credentials, apikey; or with api-key, access-key, functions-key or subscription-key;
//   - OpenAI-Organization, OpenAI-Project and X-Goog-User-Project, which say whose account pays.
//
// Case makes no difference, and _ counts as -, as for many servers. Everything else passes: the
// client's other cookies, a key in the query or among the protocols of a WebSocket. Remove these
// yourself if you need to.
//
// The request's context has to be that of the request inside Handler, or made from it. Otherwise
// nothing is set.
func (c Credentials) Put(r *http.Request) {
	for _, fields := range [...]http.Header{r.Header, r.Trailer} {
		for name := range fields {
			if folded := folded(name); c.names[folded] || isCredential(folded) {
				delete(fields, name)
			}
		}
	}
	p, ok := r.Context().Value(contextKey{}).(*pinned)
	if !ok {
		return
	}
	if p.ids != nil {
		p.ids.use.Upstream = cmp.Or(r.Host, r.URL.Host) // whose absolute URLs lead back through the gateway
	}
	if int(p.decision.Slot) < len(c.slots) {
		for name, values := range c.slots[p.decision.Slot] {
			r.Header[name] = slices.Clone(values)
		}
	}
}

// folded gives what a header's name is to a server that makes a variable of it.
func folded(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// isCredential says whether a client proves with a header of that name who it is, or says who pays.
func isCredential(name string) bool {
	before := ""
	for word := range strings.SplitSeq(name, "-") {
		if slices.Contains(tokenpin.CredentialWords, word) ||
			word == "key" && slices.Contains(tokenpin.CredentialKeys, before) {
			return true
		}
		before = word
	}
	return slices.Contains(tokenpin.PayerHeaders, name)
}

// Format writes only the number of slots, for any verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "credentials of %d slots", len(c.slots))
}

// Rewrite returns a function for httputil.ReverseProxy behind Handler. It sends a request to the
// upstream with the credentials of the account that serves it. If accounts have their own
// upstreams, write another such function with DecisionFrom and Put.
func Rewrite(upstream *url.URL, credentials Credentials) func(*httputil.ProxyRequest) {
	return func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		credentials.Put(r.Out)
	}
}
