package tokenpinhttp

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/tokenpin/tokenpin/go"
)

const (
	defaultMaxBody       = 64 << 20
	defaultMaxHeldBodies = 1 << 30
)

// ids are those of one request and its response.
type ids struct {
	affinity *tokenpin.Affinity
	mode     tokenpin.Mode
	use      tokenpin.IDUse
	summary  tokenpin.IDSummary
}

// opens says whether what is read may be changed, and what cannot be read refused.
func (i *ids) opens() bool { return i.mode != tokenpin.ModeOff }

// hasState says whether the API keeps what it makes in its account.
func (i *ids) hasState() bool { return i.use.IDs >= tokenpin.IDsBoth }

// seals says whether ids in the response may change.
func (i *ids) seals() bool { return i != nil && i.summary.Report().ChangesResponse }

// readIDs reads the ids of a request, and gives the request that continues, with what it reads put
// back and its ids opened. It answers with a refusal instead where the request cannot be read and
// the mode wants that. The body that is given is closed by the caller.
func (p *Pin) readIDs(
	held *atomic.Int64, asked *tokenpin.Request, r *http.Request,
) (out *http.Request, i *ids, body *heldBody, refused *refusal) {
	class, err := p.Affinity.Classify(asked.Method, asked.Target)
	mode := p.Affinity.IDMode()
	// The bytes behind a CONNECT are no body, and have no known end.
	hasBody := r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 && r.Method != http.MethodConnect
	if err != nil || class.IDs == tokenpin.IDsNone || mode == tokenpin.ModeOff && (p.PassBodies || !hasBody) {
		return r, nil, nil, nil // where Decide says what is wrong
	}
	owner, err := p.Affinity.IDOwner(asked)
	if err != nil {
		return r, nil, nil, nil
	}
	i = &ids{affinity: p.Affinity, mode: mode,
		use: tokenpin.IDUse{Scope: asked.Scope, Owner: owner, Origin: cmp.Or(p.Origin, originOf(r)), IDs: class.IDs}}
	out = r.WithContext(r.Context())
	if err := i.openTarget(out, asked.Target); err != nil {
		return r, nil, nil, nil
	}
	// No one sees the ids in a WebSocket's frames. Clients that are reported so ask by requests
	// instead.
	if asked.Method == http.MethodConnect && i.opens() && i.hasState() &&
		(mode != tokenpin.ModeOpen || p.RefuseUpgrades) &&
		!hasSegment(asked.Target, "realtime") {
		return nil, nil, nil, &wrongProtocol
	}
	if !hasBody {
		return out, i, nil, nil
	}
	if content := contentOf(r.Header); content != contentJSON || isEncoded(r.Header) {
		return out, i, nil, i.refuseUnread(content)
	}
	text, refused := hold(held, r, cmp.Or(p.MaxBody, defaultMaxBody), cmp.Or(p.MaxHeldBodies, defaultMaxHeldBodies))
	body = &heldBody{held: held, size: int64(cap(text))}
	if refused == nil {
		text, refused = i.openBody(out, text)
	} else if !i.opens() {
		body.rest, refused = r.Body, nil
	}
	body.text, out.Body = text, body
	return out, i, body, refused
}

// heldBody is a body that was read, or the front of one. It is let go as soon as it was sent, for
// the response may last, and httputil.ReverseProxy closes it behind that.
type heldBody struct {
	mutex sync.Mutex // a transport reads and closes when it wants to
	text  []byte
	rest  io.ReadCloser
	held  *atomic.Int64
	size  int64
}

func (b *heldBody) Read(p []byte) (int, error) {
	if n := b.take(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	if b.rest != nil {
		return b.rest.Read(p)
	}
	return 0, io.EOF
}

func (b *heldBody) take(p []byte) int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	n := copy(p, b.text)
	if b.text = b.text[n:]; len(b.text) == 0 {
		b.letGo()
	}
	return n
}

func (b *heldBody) letGo() {
	b.held.Add(-b.size)
	b.text, b.size = nil, 0
}

func (b *heldBody) Close() error {
	b.mutex.Lock()
	b.letGo()
	b.mutex.Unlock()
	if b.rest != nil {
		return b.rest.Close()
	}
	return nil
}

// hold reads a body, as far as there is room.
func hold(held *atomic.Int64, r *http.Request, most, mostOfAll int64) (body []byte, refused *refusal) {
	if r.ContentLength > most {
		return nil, &tooLarge
	}
	for {
		if len(body) == cap(body) {
			// One byte more than there may be shows that there are more. No one is believed how
			// long a body will be.
			size := min(max(2*int64(cap(body)), 4<<10), most+1)
			if r.ContentLength >= 0 && size > r.ContentLength {
				size = max(r.ContentLength+1, int64(len(body))+1)
			}
			if held.Add(size-int64(cap(body))) > mostOfAll {
				held.Add(int64(cap(body)) - size)
				return body, &tooMany
			}
			grown := make([]byte, len(body), size)
			copy(grown, body)
			body = grown
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var tooLong *http.MaxBytesError
		switch {
		case int64(len(body)) > most, errors.As(err, &tooLong):
			return body, &tooLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, &unreadable // of a client that is gone
		}
	}
}

// openTarget opens the ids of the path, which is as it was given to classification, and of the
// query.
func (i *ids) openTarget(r *http.Request, path string) error {
	target := path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	opened, err := i.affinity.OpenTarget(&i.use, &i.summary, target)
	if err != nil || opened == target {
		return err
	}
	changed := *r.URL
	if !strings.HasPrefix(changed.EscapedPath(), "/") {
		opened = strings.TrimPrefix(opened, "/")
	}
	escaped, query, _ := strings.Cut(opened, "?")
	changed.RawPath, changed.RawQuery = escaped, query
	if changed.Path, err = url.PathUnescape(escaped); err == nil {
		r.URL = &changed
	}
	return err
}

// openBody opens the ids of a body, and says so in the request.
func (i *ids) openBody(r *http.Request, body []byte) ([]byte, *refusal) {
	isText := i.mode != tokenpin.ModeStrict || utf8.Valid(body)
	before := i.summary.Report().Opened
	opened, unexpected, err := i.affinity.OpenInPlace(&i.use, &i.summary, body)
	if err != nil || i.mode == tokenpin.ModeStrict && (!isText || unexpected != 0) {
		return opened, &unreadable
	}
	if len(r.Trailer) == 0 { // which need a body of chunks
		r.ContentLength, r.TransferEncoding = int64(len(opened)), nil
	}
	if i.summary.Report().Opened == before {
		return opened, nil
	}
	r.Header = r.Header.Clone()
	if r.Header.Get("Content-Length") != "" {
		r.Header.Set("Content-Length", itoa(r.ContentLength))
	}
	for _, name := range tokenpin.DigestHeaders {
		r.Header.Del(name)
	}
	return opened, nil
}

// refuseUnread refuses what might hide ids. Else it passes as it comes.
func (i *ids) refuseUnread(content content) *refusal {
	passes := content != contentJSON
	if i.mode == tokenpin.ModeStrict {
		passes = content == contentMultipart && i.summary.Report().Uploads
	}
	switch {
	case passes || i.mode < tokenpin.ModeSeal:
		return nil
	case content == contentJSON:
		return &wrongEncoding
	}
	return &wrongType
}

// respond begins the response of a slot: it seals the URLs in its headers, and takes off what is
// not true any more once ids are sealed in its body. It gives what seals that; nil if it passes as
// it is.
func (i *ids) respond(header http.Header, status int, slot int32, out io.Writer) *tokenpin.IDWriter {
	for _, name := range tokenpin.LocationHeaders {
		if value := header.Get(name); value != "" {
			if sealed, err := i.affinity.SealTarget(&i.use, &i.summary, slot, value); err == nil && sealed != value {
				header.Set(name, sealed)
			}
		}
	}
	content, framing := contentOf(header), tokenpin.FramingJSON
	switch {
	case i.summary.Report().Downloads, content != contentJSON && content != contentEvents, isEncoded(header):
		return nil
	case status == http.StatusSwitchingProtocols, status == http.StatusNoContent, status == http.StatusPartialContent,
		status == http.StatusNotModified:
		return nil
	case content == contentEvents:
		framing = tokenpin.FramingEvents
	}
	for _, name := range ofTheBytes {
		header.Del(name)
	}
	if !strings.HasPrefix(header.Get("Etag"), "W/") {
		header.Del("Etag")
	}
	writer, err := i.affinity.NewSealWriter(&i.use, &i.summary, slot, framing, out)
	if err != nil {
		return nil // of an affinity that was closed meanwhile
	}
	return writer
}

// originOf is scheme and authority that the client asked.
func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// The properties of a body that headers report.

var ofTheBytes = append([]string{"Content-Length", "Accept-Ranges"}, tokenpin.DigestHeaders...)

type content uint8

const (
	contentJSON content = iota
	contentEvents
	contentMultipart
	contentOther
)

// contentOf tells the sort of a body. One without a type is taken for JSON: many servers do, too.
func contentOf(header http.Header) content {
	name, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	name, _, _ = strings.Cut(name, ",")
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "", name == "application/json", strings.HasSuffix(name, "+json"):
		return contentJSON
	case name == "text/event-stream":
		return contentEvents
	case strings.HasPrefix(name, "multipart/"):
		return contentMultipart
	}
	return contentOther
}

// isEncoded says whether a body is compressed, or encoded otherwise.
func isEncoded(header http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

func hasSegment(path, name string) bool { return slices.Contains(strings.Split(path, "/"), name) }
