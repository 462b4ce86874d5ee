package tokenpin

import (
	"io"
	"runtime"
	"sync/atomic"
)

// IDConfig is the treatment of the ids in requests and responses.
type IDConfig struct {
	// Mode is off by default. Roll the modes out in their order, each on all replicas before the next.
	Mode Mode
	// Keys is the ring that seals, like Config.CookieKeys. Empty for the cookie keys. RoleRetire
	// counts as RoleAccept here.
	Keys []CookieKey
	// Owner is the owner of a sealed id.
	Owner IDOwner
	// ForeignSeals is the treatment of texts that look sealed but were not sealed by this ring.
	ForeignSeals ForeignSeals
	// Encrypted marks encrypted content with its account. Default true.
	Encrypted bool
	// Fields are the additions to the table of ids.
	Fields IDFields
}

// IDFields are additions to the table of ids, at most 32 of each sort.
type IDFields struct {
	// Keys are more keys. Their numbers follow those of the table.
	Keys []IDKey
	// Prefixes are more prefixes of ids that are sealed.
	Prefixes []string
	// Collections are more segments of a path that an id follows.
	Collections []string
}

// IDKey is a key that is read for ids, 1 to 32 bytes, and the kind of its value, except KeyKindPath
// and KeyKindOwn.
type IDKey struct {
	Name string
	Kind KeyKind
}

// IDRing seals and opens single ids. All its methods may be called from any number of goroutines
// concurrently, Close included.
type IDRing struct{ handle atomic.Pointer[idRing] }

// NewIDRing makes a ring of 1 to MaxCookieKeys keys, exactly one of which signs. The keys of
// cookies may be used again, because ids derive other keys from them. placementKey may be nil; if
// it is not, no secret may equal it. An error is a [ConfigError].
func NewIDRing(keys []CookieKey, placementKey *Secret) (*IDRing, error) {
	handle, err := newIDRing(keys, placementKey)
	if err != nil {
		return nil, err
	}
	r := new(IDRing)
	r.handle.Store(handle)
	return r, nil
}

// Close ends the life of the ring, like [Affinity.Close].
func (r *IDRing) Close() error {
	r.handle.Store(nil)
	return nil
}

// Seal appends the sealed form of the id of an object in the account with the identity hash pin. id
// is 1 to MaxID bytes of A-Z a-z 0-9 _ -; otherwise the error is ErrID. An id that already carries
// this seal stays as it is. scope is 0 to MaxScope bytes, owner 0 to MaxKey. Seal allocates only if
// dst has no room; MaxSealedID bytes suffice.
func (r *IDRing) Seal(dst []byte, scope, owner string, pin uint64, id string) ([]byte, error) {
	h := r.handle.Load()
	if h == nil {
		return dst, ErrNotInitialised
	}
	dst, s := h.sealID(dst, scope, owner, pin, id)
	runtime.KeepAlive(h)
	return dst, s.err()
}

// OpenedID is the result of opening a text that may be a sealed id. Pin and Key are set if the
// verdict is IDVerdictSealed.
type OpenedID struct {
	// Pin is the identity hash of the account that holds the object.
	Pin uint64
	// Verdict is never IDVerdictNone or IDVerdictConflict.
	Verdict IDVerdict
	// Key is the number of the key that sealed it.
	Key uint8
}

// Open checks a text from a client, sealed or not. If the verdict is IDVerdictSealed, it appends
// the id as the provider made it. Another verdict is no error.
func (r *IDRing) Open(dst []byte, scope, owner, text string) ([]byte, OpenedID, error) {
	h := r.handle.Load()
	if h == nil {
		return dst, OpenedID{}, ErrNotInitialised
	}
	dst, opened, s := h.openID(dst, scope, owner, text)
	runtime.KeepAlive(h)
	return dst, opened, s.err()
}

// Mark appends the mark that goes behind encrypted content of the account with the identity hash
// pin. Empty content is ErrID.
func (r *IDRing) Mark(dst []byte, scope, owner string, pin uint64, content string) ([]byte, error) {
	h := r.handle.Load()
	if h == nil {
		return dst, ErrNotInitialised
	}
	dst, s := h.markContent(dst, scope, owner, pin, content)
	runtime.KeepAlive(h)
	return dst, s.err()
}

// OpenMark checks the mark of encrypted content from a client. If the verdict is IDVerdictSealed,
// content is the content without the mark, and pin the identity hash of its account.
func (r *IDRing) OpenMark(scope, owner, text string) (content string, verdict IDVerdict, pin uint64, err error) {
	h := r.handle.Load()
	if h == nil {
		return "", IDVerdictNone, 0, ErrNotInitialised
	}
	n, verdict, pin, s := h.openMark(scope, owner, text)
	runtime.KeepAlive(h)
	return text[:n], verdict, pin, s.err()
}

// IDSummary is the summary of a request's ids, and the forms in which the client wrote them. It
// goes into [Request.IDs], and to the functions that seal the response, so that they spell the ids
// the same way. The zero value is that of a request without ids. It is plain data.
type IDSummary struct{ summary }

// IDReport is the content of a summary. A key is a number that [Affinity.IDKey] spells; 255 is
// none.
type IDReport struct {
	// Opened is the number of opened ids, and Plain that of plain ids.
	Opened, Plain uint32
	// EchoesLost is the number of ids whose form could not be remembered.
	EchoesLost uint32
	// Verdict is the worst verdict of all ids.
	Verdict IDVerdict
	// Keys are the key of the refused id; for a conflict, both keys.
	Keys [2]uint8
	// Refused says that the request is refused for its ids.
	Refused bool
	// Unreadable says that a string that may be an id is too long to be read. The request is refused
	// too.
	Unreadable bool
	// Existing says that the request names existing state.
	Existing bool
	// Seals says that the ids of the response are sealed, regardless of what the client sent.
	Seals bool
	// ChangesResponse says that anything in the response may change. If not, the response need not be
	// read.
	ChangesResponse bool
	// Unstored says that the body says "store": false.
	Unstored bool
	// Uploads says that the path is for uploads, so that the request may have a multipart body.
	Uploads bool
	// Downloads says that the path is a download. Its response is a client's file, in which nothing is
	// to be sealed.
	Downloads bool
}

// Report returns the content of the summary.
func (s *IDSummary) Report() IDReport { return s.report() }

// Quoted returns the refused id, or else the id that names the account, as the client wrote it
// except for escapes, for the text of a refusal. It is empty for an id over 64 bytes or with other
// characters than ids have, and for encrypted content.
func (s *IDSummary) Quoted() string { return s.quoted() }

// IDUse is the context in which a request's ids are opened and its response's are sealed.
type IDUse struct {
	// Scope is that of the request. Empty for the configured one.
	Scope string
	// Owner is the owner that [Affinity.IDOwner] returns for the request.
	Owner string
	// Upstream is the upstream's authority. Absolute URLs of this authority are rewritten under the
	// keys of the table. Empty leaves them as they are.
	Upstream string
	// Origin is scheme and authority of the client's request, such as "https://gateway.example".
	Origin string
	// IDs comes from [Affinity.Classify].
	IDs IDs
	// HasMode says that Mode replaces the configured one.
	HasMode bool
	Mode    Mode
}

// IDMode returns the configured mode.
func (a *Affinity) IDMode() Mode { return a.idMode }

// IDOwner returns the owner of a request's ids. It is the request's consumer if ids belong to
// consumers and the consumer is usable, and otherwise empty.
func (a *Affinity) IDOwner(r *Request) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	owner, s := h.idOwner(r)
	runtime.KeepAlive(h)
	return owner, s.err()
}

// IDKey returns the name of a key by its number, as in [Decision.IDKeys]. The error is ErrBadEnum
// if no key has this number.
func (a *Affinity) IDKey(number uint8) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	name, s := h.idKey(number)
	runtime.KeepAlive(h)
	return name, s.err()
}

// OpenTarget opens the ids of a request's target, such as "/v1/responses/resp_1?after=msg_1", and
// returns the target for the upstream. Call it before the body is read. It allocates only if
// something changes.
func (a *Affinity) OpenTarget(use *IDUse, summary *IDSummary, target string) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return target, ErrNotInitialised
	}
	if use == nil || summary == nil {
		return target, ErrNullPointer
	}
	opened, s := h.openTarget(use, summary, target)
	runtime.KeepAlive(h)
	if s != StatusOK {
		return target, s
	}
	return opened, nil
}

// OpenInPlace opens the ids of a request's whole body in place. The result is a part of body, and
// never longer. unexpected is the number of documents that were not understood: 0 or 1, except for
// events.
func (a *Affinity) OpenInPlace(
	use *IDUse, summary *IDSummary, body []byte,
) (opened []byte, unexpected uint32, err error) {
	h := a.handle.Load()
	if h == nil {
		return body, 0, ErrNotInitialised
	}
	if use == nil || summary == nil {
		return body, 0, ErrNullPointer
	}
	n, unexpected, s := h.openInPlace(use, summary, body)
	runtime.KeepAlive(h)
	if s != StatusOK {
		return body, 0, s
	}
	return body[:n], unexpected, nil
}

// SealTarget seals the ids of a target or a URI, such as the value of Location, Content-Location or
// Operation-Location, in a response of the account in slot. An absolute URI of Upstream then leads
// to Origin; a URI of another host stays as it is. summary is that of the request, or nil.
// SealTarget allocates only if something changes.
func (a *Affinity) SealTarget(use *IDUse, summary *IDSummary, slot int32, target string) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return target, ErrNotInitialised
	}
	if use == nil {
		return target, ErrNullPointer
	}
	sealed, s := h.sealTarget(use, summary, slot, target)
	runtime.KeepAlive(h)
	if s != StatusOK {
		return target, s
	}
	return sealed, nil
}

// NewOpenReader returns a reader of a request's body with its ids opened. The body is one JSON
// document or, if it begins so, events. When it has been read to its end, summary is complete. The
// reader borrows summary.
func (a *Affinity) NewOpenReader(use *IDUse, summary *IDSummary, body io.Reader) (*IDReader, error) {
	h := a.handle.Load()
	if h == nil {
		return nil, ErrNotInitialised
	}
	if use == nil || summary == nil {
		return nil, ErrNullPointer
	}
	r := &IDReader{src: body}
	if s := r.rewriter.open(h, use, summary); s != StatusOK {
		return nil, s
	}
	return r, nil
}

// NewSealReader returns a reader of a response's body with its ids sealed. slot is the account that
// answered. summary is that of the request, or nil. The reader borrows summary.
func (a *Affinity) NewSealReader(
	use *IDUse, summary *IDSummary, slot int32, framing Framing, body io.Reader,
) (*IDReader, error) {
	h := a.handle.Load()
	if h == nil {
		return nil, ErrNotInitialised
	}
	if use == nil {
		return nil, ErrNullPointer
	}
	r := &IDReader{src: body}
	if s := r.rewriter.seal(h, use, summary, slot, framing); s != StatusOK {
		return nil, s
	}
	return r, nil
}

// NewSealWriter returns a writer that passes a response's body on to out with its ids sealed, as
// NewSealReader does.
func (a *Affinity) NewSealWriter(
	use *IDUse, summary *IDSummary, slot int32, framing Framing, out io.Writer,
) (*IDWriter, error) {
	h := a.handle.Load()
	if h == nil {
		return nil, ErrNotInitialised
	}
	if use == nil {
		return nil, ErrNullPointer
	}
	w := &IDWriter{dst: out}
	if s := w.rewriter.seal(h, use, summary, slot, framing); s != StatusOK {
		return nil, s
	}
	return w, nil
}

// bodyChunk is how much of a body is rewritten immediately.
const bodyChunk = 8 << 10

// IDReader reads a body whose ids are opened or sealed. It holds back only a string that may be an
// id and is not complete yet.
type IDReader struct {
	rewriter rewriter
	src      io.Reader
	err      error
	rest     []byte // what goes out and was not read yet
	out      []byte // where that lies
	in       [bodyChunk]byte
}

// Read reads the rewritten body. When the source ends or fails, the bytes still held are read too.
func (r *IDReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && len(p) > 0 {
		if r.err != nil {
			return 0, r.err
		}
		var n int
		n, r.err = r.src.Read(r.in[:])
		out, s := r.rewriter.rewrite(r.out[:0], r.in[:n])
		if r.err != nil && s == StatusOK {
			out, s = r.rewriter.end(out)
		}
		if s != StatusOK {
			r.err = s
			return 0, s
		}
		r.rest, r.out = out, out
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Changed is how many ids were rewritten so far.
func (r *IDReader) Changed() uint32 { return r.rewriter.changed() }

// Unexpected is how many documents were not understood so far, and passed as they are from there
// on.
func (r *IDReader) Unexpected() uint32 { return r.rewriter.unexpected() }

// IDWriter writes a body whose ids are sealed. It holds back only a string that may be an id and is
// not complete yet.
type IDWriter struct {
	rewriter rewriter
	dst      io.Writer
	out      []byte
}

// Write rewrites p and writes the result. After an error, bytes that were not written are lost.
func (w *IDWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += min(len(p)-n, bodyChunk) {
		out, s := w.rewriter.rewrite(w.out[:0], p[n:min(len(p), n+bodyChunk)])
		if err := w.flush(out, s); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// Close writes the bytes still held at the end of the body. It does not close the underlying
// writer.
func (w *IDWriter) Close() error { return w.flush(w.rewriter.end(w.out[:0])) }

func (w *IDWriter) flush(out []byte, s Status) error {
	w.out = out
	if s != StatusOK || len(out) == 0 {
		return s.err()
	}
	_, err := w.dst.Write(out)
	return err
}

// Changed is how many ids were rewritten so far.
func (w *IDWriter) Changed() uint32 { return w.rewriter.changed() }

// Unexpected is how many documents were not understood so far, and passed as they are from there
// on.
func (w *IDWriter) Unexpected() uint32 { return w.rewriter.unexpected() }
