package tokenpinhttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/tokenpin/tokenpin/go"
)

// refusal is the gateway's own answer to a request that no token serves. docs/guides/embedding.md
// has all of them.
type refusal struct {
	status        int
	code, message string
	param         string // the field of the request that is meant; empty for none
	retryAfter    uint32 // in seconds; 0 if no one knows
	header        http.Header
}

var (
	tooLarge = refusal{status: http.StatusRequestEntityTooLarge, code: "request_too_large",
		message: "The request's body is too large."}
	tooMany = refusal{status: http.StatusServiceUnavailable, code: "too_many_bodies",
		message: "The gateway holds too many requests.", retryAfter: 1}
	unreadable = refusal{status: http.StatusBadRequest, code: "unreadable_body",
		message: "The request's body cannot be read."}
	wrongType = refusal{status: http.StatusUnsupportedMediaType, code: "unsupported_content_type",
		message: "The request's body has to be JSON."}
	wrongEncoding = refusal{status: http.StatusUnsupportedMediaType, code: "unsupported_content_encoding",
		message: "The request's body must not be encoded.",
		header:  http.Header{"Accept-Encoding": {"identity"}}}
	wrongProtocol = refusal{status: http.StatusUpgradeRequired, code: "websocket_not_supported",
		message: "This is not served over a WebSocket.",
		header:  http.Header{"Upgrade": {"HTTP/1.1"}, "Connection": {"upgrade"}}}
)

// refusalOf is that of a decision without a slot, or of an error instead of one. It tells ids and
// their keys, and never whether there is an account.
func (p *Pin) refusalOf(d *tokenpin.Decision, i *ids, err error) refusal {
	switch {
	case errors.Is(err, tokenpin.ErrScopeLength):
		return refusal{status: http.StatusBadRequest, code: "bad_tenant", message: "The tenant cannot be determined."}
	case err != nil:
		return refusal{status: http.StatusInternalServerError, code: "affinity_error",
			message: "The gateway cannot choose an account."}
	}
	key := func(which int) string {
		name, _ := p.Affinity.IDKey(d.IDKeys[which])
		return name
	}
	quoted := ""
	if i != nil && i.summary.Quoted() != "" {
		quoted = " '" + i.summary.Quoted() + "'"
	}
	code, status := d.Refusal()
	r := refusal{status: status, code: code.String(), retryAfter: d.RetryAfter}
	switch code {
	case tokenpin.RefusalBadAffinityKey:
		r.message = "The session's key cannot be used."
	case tokenpin.RefusalSessionUnavailable:
		r.message = "The session's account is unavailable."
	case tokenpin.RefusalPreviousResponseNotFound:
		r.message, r.param = "The previous response"+quoted+" was not found.", key(0)
	case tokenpin.RefusalInvalidEncryptedContent:
		r.message = "The encrypted content could not be verified."
	case tokenpin.RefusalNotFound:
		r.message, r.param = "The object"+quoted+" named by '"+key(0)+"' was not found.", key(0)
	case tokenpin.RefusalConflictingAccounts:
		r.message = "The objects named by '" + key(0) + "' and '" + key(1) +
			"' cannot be used together: they were created apart."
		r.param = key(1)
	case tokenpin.RefusalUnreadableBody:
		return unreadable
	default:
		r.message = "No account is available."
	}
	return r
}

// write answers in the form that the clients of the provider expect: those of Anthropic say which
// version of its API they mean, and all others know OpenAI's.
func (r *refusal) write(w http.ResponseWriter, request *http.Request) {
	var body any
	if _, ok := request.Header["Anthropic-Version"]; ok {
		type fault struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		}
		body = struct {
			Type  string `json:"type"`
			Error fault  `json:"error"`
		}{"error", fault{r.anthropicType(), r.message}}
	} else {
		type fault struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		}
		made := fault{Message: r.message, Type: "gateway_error", Code: r.code}
		if r.status < 500 && r.code != "bad_tenant" {
			made.Type = "invalid_request_error"
		}
		if r.param != "" {
			made.Param = &r.param
		}
		body = struct {
			Error fault `json:"error"`
		}{made}
	}
	text, _ := json.Marshal(body) // of strings, which never fails
	for name, values := range r.header {
		if ofConnection := name == "Upgrade" || name == "Connection"; !ofConnection || request.ProtoMajor < 2 {
			w.Header()[name] = values // HTTP/2 has none of these two
		}
	}
	if r.retryAfter != 0 {
		w.Header().Set("Retry-After", itoa(r.retryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write(text)
}

func (r *refusal) anthropicType() string {
	switch {
	case r.status == http.StatusNotFound:
		return "not_found_error"
	case r.status == http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case r.status < 500:
		return "invalid_request_error"
	}
	return "api_error"
}

func itoa[T uint32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
