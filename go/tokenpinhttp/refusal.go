package tokenpinhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tokenpin/tokenpin/go"
)

// refuse answers a request that no token may serve, in the form that OpenAI's clients expect. docs/embedding.md has all
// of these answers.
func refuse(w http.ResponseWriter, d *tokenpin.Decision, err error) {
	status, code, message := http.StatusServiceUnavailable, "session_unavailable", "The session's account is unavailable."
	switch {
	case errors.Is(err, tokenpin.ErrScopeLength):
		status, code, message = http.StatusBadRequest, "bad_tenant", "The tenant cannot be told."
	case err != nil:
		status, code, message = http.StatusInternalServerError, "affinity_error", "The gateway cannot choose an account."
	case d.Outcome != tokenpin.OutcomeRejected:
		code, message = "no_account_available", "No account is available."
	// A request that is rejected for its key has no pin, for its cookies were not looked at.
	case d.PinState == tokenpin.PinStateNone:
		code, message = "bad_affinity_key", "The session's key cannot be used."
	}
	if d.RetryAfter != 0 {
		w.Header().Set("Retry-After", strconv.FormatUint(uint64(d.RetryAfter), 10))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":"%s","type":"gateway_error","param":null,"code":"%s"}}`, message, code)
}
