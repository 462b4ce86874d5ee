package tokenpinhttp

import (
	"net/http"

	"github.com/tokenpin/tokenpin/go"
)

// writer finishes the decision when the status is known.
type writer struct {
	http.ResponseWriter
	affinity *tokenpin.Affinity
	decision tokenpin.Decision
	name     string
	carrier  string
	finished bool
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.finish(status)
	} else {
		w.clean() // early hints have headers, too
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	w.finish(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

func (w *writer) Flush() { _ = w.FlushError() }

func (w *writer) FlushError() error {
	w.finish(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// clean removes what an upstream must not set.
func (w *writer) clean() {
	header := w.ResponseWriter.Header()
	if w.carrier != "" {
		header.Del(w.carrier)
	}
	filter(header, "Set-Cookie", func(line string) string {
		if tokenpin.SetCookieMatches(line, w.name) {
			return ""
		}
		return line
	})
}

func (w *writer) finish(status int) {
	if w.finished {
		return
	}
	w.finished = true
	w.clean()
	var buffer [256]byte
	// An error leaves the answer empty. There is none but that of an affinity that was closed meanwhile.
	text, answer, _ := w.affinity.Finish(buffer[:0], &w.decision, status)
	header := w.Header()
	switch answer {
	case tokenpin.AnswerSetCookie:
		header.Add("Set-Cookie", string(text))
		header.Add("Cache-Control", `no-cache="Set-Cookie"`)
	case tokenpin.AnswerCarrier:
		header.Set(w.carrier, string(text))
	}
}
