package tokenpinhttp

import (
	"bufio"
	"net"
	"net/http"

	"github.com/tokenpin/tokenpin/go"
)

// writer finishes the decision when the status is known.
type writer struct {
	http.ResponseWriter
	*pinned
	name     string
	carrier  string
	finished bool
	hijacked bool
	sealing  *tokenpin.IDWriter // nil where the body passes as it is
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack is for handlers that take the connection over, and write the response themselves.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	connection, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = err == nil
	return connection, buffered, err
}

// Header has the cookie in it once the connection is taken over: httputil.ReverseProxy adds the
// upstream's headers to it then, and asks for all of them last.
func (w *writer) Header() http.Header {
	if w.hijacked {
		w.answer(http.StatusSwitchingProtocols)
	}
	return w.ResponseWriter.Header()
}

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
	if w.sealing != nil {
		return w.sealing.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// end is where next is done, if it wrote something or nothing at all.
func (w *writer) end() {
	w.finish(http.StatusOK)
	if w.sealing != nil {
		_ = w.sealing.Close() // no one is left to tell
	}
}

func (w *writer) Flush() { _ = w.FlushError() }

func (w *writer) FlushError() error {
	w.finish(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) finish(status int) {
	if !w.finished && !w.hijacked {
		w.finished = true
		w.answer(status)
		if w.ids != nil {
			w.sealing = w.ids.respond(w.ResponseWriter.Header(), status, w.decision.Slot, w.ResponseWriter)
		}
	}
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

func (w *writer) answer(status int) {
	w.clean()
	switching := status == http.StatusSwitchingProtocols
	if switching {
		status = http.StatusOK // which the same handshake has over HTTP/2
	}
	var buffer [256]byte
	// An error leaves the answer empty. There is none but that of an affinity that was closed
	// meanwhile.
	text, answer, _ := w.affinity.Finish(buffer[:0], &w.decision, status)
	name := ""
	switch answer {
	case tokenpin.AnswerNothing:
		return
	case tokenpin.AnswerSetCookie:
		name = "Set-Cookie"
	case tokenpin.AnswerCarrier:
		name = w.carrier // of which nothing is left
	}
	header := w.ResponseWriter.Header()
	header.Add(name, string(text))
	if !switching { // which no cache keeps
		header.Add("Cache-Control", `no-cache="`+name+`"`)
	}
}
