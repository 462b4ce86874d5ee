// Package tokenpinhttp puts session affinity into an HTTP proxy: a middleware that decides which
// token serves a request and sets the affinity cookie on the response, and a rewrite for
// [httputil.ReverseProxy] that sets the token.
//
//	tokens := tokenpinhttp.Bearer("sk-a", "sk-b")
//	pin := &tokenpinhttp.Pin{Affinity: affinity}
//	proxy := &httputil.ReverseProxy{Rewrite: tokenpinhttp.Rewrite(upstream, tokens)}
//	err := http.ListenAndServeTLS(":8443", certificate, key, pin.Handler(proxy))
//
// For clients that keep no cookies, set the affinity's Config.IDs.Mode to tokenpin.ModeSeal: then
// the ids that they are given name the account. See [Pin.Handler].
//
// The default cookie is Secure and has a __Host- name, so browsers and cookie jars send it over
// HTTPS only. That also works behind a proxy that ends TLS. For plain HTTP, set another CookieName
// and Attributes.Secure to false.
package tokenpinhttp

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tokenpin/tokenpin/go"
)

// Pin is the affinity of HTTP requests. Affinity has to be set; the zero values of the rest are
// useful. Do not change a Pin after Handler was called. For a new configuration, make a new Pin and
// swap the handlers: the affinity that decided finishes each response.
type Pin struct {
	// Affinity decides.
	Affinity *tokenpin.Affinity

	// ConsumerHeader is a request header whose value is the consumer's name. Only for a header that
	// clients cannot set: one that the gateway sets or removes. Empty for none.
	ConsumerHeader string

	// SessionHeader is a request header whose value is a session key, chosen by the client. Empty
	// for none.
	SessionHeader string

	// CarrierHeader is a header that carries the cookie's value for clients that keep no cookies. A
	// request that has this header, even empty, gets the answer in a response header of the same name.
	// Empty for none.
	CarrierHeader string

	// Scope returns the scope of a request, at most tokenpin.MaxScope bytes. Nil, or an empty result,
	// for the configured scope. Each scope has its own cookie name, and only the cookie of the
	// request's scope is removed. The upstream sees the cookies of other scopes, sealed, unless paths
	// or hosts keep them apart.
	Scope func(*http.Request) string

	// IDHint returns bytes that belong to only one client, such as its credential. The id of a new
	// session is made from them, so that parallel first requests of a client agree, on every replica.
	// Behind a CDN or a NAT, a connection or an address belongs to many clients, and would join them.
	// Nil, an empty result, or one over tokenpin.MaxKey bytes makes a random id.
	IDHint func(*http.Request) string

	// Existing reports whether a request names existing state that method and path do not show: in its
	// body (previous_response_id, input_file_id, ...), or under a path that is in no table. On any
	// path, such a request goes to its session's account. While that is down, the request is refused,
	// instead of sent to an account that does not know the state. Nil for never. A function that reads
	// the body has to put it back.
	Existing func(*http.Request) bool

	// Refuse answers a request that no token may serve. Nil for a small JSON body in the form that the
	// provider's clients expect, mostly with a status 503, and with Retry-After if it is known when a
	// token is up again. Refuse is not called if there is no decision: the answer is 400 for a Scope
	// that is too long, 500 for a fault of the gateway, and 400, 413, 415 or 503 for a body that
	// cannot be read or held.
	Refuse func(http.ResponseWriter, *http.Request, tokenpin.Decision)

	// The fields below concern the ids in requests and responses. The affinity's Config.IDs has the
	// mode.

	// MaxBody is the longest body of a request that is held, in bytes; 0 for 64 MiB. A longer one
	// is a 413.
	MaxBody int64

	// MaxHeldBodies is the number of bytes of all bodies that are held at a time; 0 for 1 GiB. A
	// request beyond that is a 503.
	MaxHeldBodies int64

	// PassBodies says that in ModeOff no body is read. By default bodies are read, so that a request
	// whose body names existing state never counts as a new one.
	PassBodies bool

	// RefuseUpgrades refuses WebSockets on paths with sealed ids in ModeOpen too.
	RefuseUpgrades bool

	// Origin is the scheme and authority under which clients reach the gateway, for absolute URLs in
	// responses. Empty for those of the request. Set it behind a proxy that ends TLS.
	Origin string
}

type contextKey struct{}

// pinned is what a request keeps from its decision to its response.
type pinned struct {
	affinity *tokenpin.Affinity
	request  tokenpin.Request
	decision tokenpin.Decision
	ids      *ids // nil where nothing in the response is sealed
}

// DecisionFrom returns the decision about a request, from its context inside Handler. Its Slot is
// never NoSlot.
func DecisionFrom(ctx context.Context) (decision tokenpin.Decision, ok bool) {
	p, ok := ctx.Value(contextKey{}).(*pinned)
	if !ok {
		return tokenpin.Decision{Slot: tokenpin.NoSlot}, false
	}
	return p.decision, true
}

// Retry decides again about a request that its account has refused, as with status 429, without the
// accounts that were tried. From then on DecisionFrom returns the new decision, and the response
// sets the cookie of that one.
//
// It returns false, and changes nothing, if the request has to stay: its state is in that account,
// or the state that it creates would be looked for there, or no other account can serve. Then pass
// on the account's answer.
//
// ctx is the context of a request inside Handler, or made from it. Do not call Retry while another
// goroutine uses the same request.
func Retry(ctx context.Context) bool {
	p, ok := ctx.Value(contextKey{}).(*pinned)
	if !ok || !p.decision.MayMove {
		return false
	}
	again := p.request
	again.Tried = append(again.Tried, p.decision.Slot)
	again.Stamp()
	decision, err := p.affinity.Decide(&again)
	if err != nil || !decision.MayMove {
		return false
	}
	p.request, p.decision = again, decision
	return true
}

// Handler decides about each request and calls next, which finds the decision with DecisionFrom.
// The cookie and the carrier header are removed from the request that next sees, and an upstream's
// own from the response. If the response is a success, the affinity's cookie is set, with
// Cache-Control: no-cache="Set-Cookie", because a cached cookie would share a session. For a
// carrier header, the Cache-Control has its name. The response is passed on as it is written and
// flushed, without a buffer.
//
// On paths with ids, JSON bodies of requests are held until they are complete, because they may
// name the account, and next sees them with their ids opened. Responses in JSON and event streams
// are sealed while they pass; only a string that may be an id and is not complete is held. For
// that, the request of next accepts no encoding, and a length, a strong ETag, digests and ranges
// are removed from the response.
//
// A WebSocket handshake creates a session as a POST does, and 101 is its success. If next takes the
// connection over (http.Hijacker) and writes the response itself, the cookie is in the
// ResponseWriter's Header after that.
//
// If no token may serve the request, next is not called.
func (p *Pin) Handler(next http.Handler) http.Handler {
	consumer := http.CanonicalHeaderKey(p.ConsumerHeader)
	session := http.CanonicalHeaderKey(p.SessionHeader)
	carrier := http.CanonicalHeaderKey(p.CarrierHeader)
	var held atomic.Int64 // bytes of bodies
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := tokenpin.Request{
			// The path as the upstream gets it: without decoding, but with what a mux has cut off
			// or replaced.
			Method: r.Method, Target: rooted(r.URL.EscapedPath()),
			Consumers: unjoined(r.Header[consumer]), ConsumerTrusted: true, Sessions: unjoined(r.Header[session]),
			Cookies: r.Header["Cookie"],
		}
		if isHandshake(r) {
			request.Method = http.MethodConnect
		}
		if values := r.Header[carrier]; len(values) != 0 && carrier != "" {
			request.Carrier = true
			request.CarrierValue, _ = theOne(unjoined(values))
		}
		if p.Scope != nil {
			request.Scope = p.Scope(r)
		}
		if p.IDHint != nil {
			if hint, err := p.Affinity.IDHint(p.IDHint(r)); err == nil {
				request.IDHint = &hint
			}
		}
		if p.Existing != nil {
			request.Existing = p.Existing(r)
		}
		asked := r
		r, ids, body, refused := p.readIDs(&held, &request, r)
		if body != nil {
			defer body.Close()
		}
		if refused != nil {
			refused.write(w, asked)
			return
		}
		if ids != nil {
			request.IDs = &ids.summary
		}
		request.Stamp()
		decision, err := p.Affinity.Decide(&request)
		name := ""
		if err == nil {
			name, err = p.Affinity.CookieName(request.Scope)
		}
		if err == nil && decision.Slot == tokenpin.NoSlot && p.Refuse != nil {
			p.Refuse(w, asked, decision)
			return
		}
		if err != nil || decision.Slot == tokenpin.NoSlot {
			refusal := p.refusalOf(&decision, ids, err)
			refusal.write(w, asked)
			return
		}
		made := &pinned{affinity: p.Affinity, request: request, decision: decision}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, made))
		r.Header = stripped(r.Header, name, carrier)
		if body == nil && r.Body != nil && r.Body != http.NoBody {
			r.Body = &ending{ReadCloser: r.Body}
		}
		if ids.seals() {
			made.ids = ids
			r.Header.Set("Accept-Encoding", "identity") // ids in what is compressed cannot be seen
		}
		response := &writer{ResponseWriter: w, pinned: made, name: name, carrier: carrier}
		next.ServeHTTP(response, r)
		response.end()
	})
}

// ending is a request's body that stays at its end once it is there. http.Transport asks for more
// when all has been sent, to see that there is none; an upstream that answers immediately lets the
// server close the body before that, and the transport would take that for a failure and drop the
// answer.
type ending struct {
	io.ReadCloser
	ended bool
}

func (b *ending) Read(into []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	count, err := b.ReadCloser.Read(into)
	b.ended = err == io.EOF
	return count, err
}

// rooted gives a path with the slash in front that http.StripPrefix may have cut off, and that a
// proxy puts back.
func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// isHandshake says whether a request opens a WebSocket over HTTP/1.1. Over HTTP/2 its method is
// CONNECT.
func isHandshake(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header["Connection"], "upgrade") &&
		hasToken(r.Header["Upgrade"], "websocket")
}

// hasToken looks for a token in the lists of a header, in lower or upper case.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for element := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(element, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// unjoined gives the values of a header, where copies of one value that a proxy in front has joined
// are that value. Empty ones do not count.
func unjoined(values []string) []string {
	if !slices.ContainsFunc(values, func(value string) bool { return strings.Contains(value, ",") }) {
		return values
	}
	made := slices.Clone(values)
	for i, value := range values {
		parts := strings.Split(value, ",")
		for part := range parts {
			parts[part] = strings.Trim(parts[part], " \t")
		}
		if one, ok := theOne(parts); ok {
			made[i] = one
		}
	}
	return made
}

// theOne gives the value that all values are which are not empty; of none, the empty one. Of
// different ones, none is known to be the right one.
func theOne(values []string) (one string, ok bool) {
	for _, value := range values {
		if one == "" {
			one = value
		} else if value != "" && value != one {
			return "", false
		}
	}
	return one, true
}

// stripped gives the headers without what is not for the upstream.
func stripped(header http.Header, name, carrier string) http.Header {
	header = header.Clone()
	if carrier != "" {
		header.Del(carrier)
	}
	filter(header, "Cookie", func(field string) string { return tokenpin.CookieStrip(field, name) })
	return header
}

// filter puts what change makes of a header's values in their place, except for empty ones.
func filter(header http.Header, key string, change func(string) string) {
	values := header[key]
	kept := values[:0]
	for _, value := range values {
		if value = change(value); value != "" {
			kept = append(kept, value)
		}
	}
	if len(kept) == 0 {
		delete(header, key)
	} else {
		header[key] = kept
	}
}
