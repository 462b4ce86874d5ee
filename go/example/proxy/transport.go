package main

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

// maxKept is the longest body that is kept to be sent again.
const maxKept = 1 << 20

// transport sends requests to the provider, and again, as another account, where the first one
// limits its rate and the request may move.
type transport struct {
	http.RoundTripper
	affinity    *tokenpin.Affinity
	credentials tokenpinhttp.Credentials
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	decision, _ := tokenpinhttp.DecisionFrom(r.Context())
	if !decision.MayMove || r.ContentLength < 0 || r.ContentLength > maxKept {
		return t.try(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	response, err := t.try(withBody(r, body))
	if err != nil || response.StatusCode != http.StatusTooManyRequests || !tokenpinhttp.Retry(r.Context()) {
		return response, err
	}
	response.Body.Close()
	again := withBody(r, body)
	t.credentials.Put(again)
	return t.try(again)
}

// withBody gives a copy of the request, for a RoundTripper does not change its own.
func withBody(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	if r.Body != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r
}

func (t *transport) try(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		decision, _ := tokenpinhttp.DecisionFrom(r.Context())
		t.coolDown(decision.Slot, response)
	}
	return response, err
}

// coolDown keeps new sessions from an account that limits its rate, refuses its credential or is
// overloaded. It takes none down: a client can bring about each of these answers (by a path for
// other keys, a model that is overloaded), and could take one account after another from all
// others. Where all drain, all serve. What is down, someone has said who knows that it is the
// account. 403 says nothing of the account: some answer so where a file is not there.
func (t *transport) coolDown(slot int32, response *http.Response) {
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusServiceUnavailable:
	default:
		return
	}
	now := time.Now()
	until := now.Unix() + cooldown(response.Header, now)
	status, _, err := t.affinity.GetSlot(slot)
	if err != nil {
		return
	}
	// The operator's status stays, and so does one that is worse or longer already.
	if status.State != tokenpin.StateUp && (status.Until == 0 || status.Until > now.Unix() &&
		(status.State == tokenpin.StateDown || status.Until >= until)) {
		return
	}
	status.State, status.Until = tokenpin.StateDraining, until
	_ = t.affinity.SetSlot(slot, status) // refuses nothing of this
}

// cooldown reads for how many seconds an account wants to be left alone: from Retry-After, which
// some send as a decimal, or from what others send beside it. At least a second and at most an
// hour; half a minute where it does not say.
func cooldown(header http.Header, now time.Time) int64 {
	seconds := 30.0
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		seconds = ms / 1000
	} else if s, err := strconv.ParseFloat(header.Get("Retry-After"), 64); err == nil {
		seconds = s
	} else if date, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		seconds = date.Sub(now).Seconds()
	}
	if !(seconds > 1) { // also what is no number
		return 1
	}
	return int64(math.Ceil(min(seconds, 3600)))
}
