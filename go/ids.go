package tokenpin

import (
	"io"
	"runtime"
	"sync/atomic"
)

// IDConfig says what is done with the ids of requests and responses.
type IDConfig struct {
	// Mode is what is done with them: by default nothing. It is rolled out on all replicas, one
	// mode after another.
	Mode Mode
	// Keys is the ring that seals, like Config.CookieKeys; empty for the cookie keys. RoleRetire
	// means RoleAccept here.
	Keys []CookieKey
	// Owner is whose a sealed id is.
	Owner IDOwner
	// ForeignSeals is what becomes of ids that look sealed and were not sealed by this ring.
	ForeignSeals ForeignSeals
	// Encrypted marks encrypted content with its account. Default true.
	Encrypted bool
	// Fields is what is added to the table of ids.
	Fields IDFields
}

// IDFields says which strings are ids, beside those of the table. At most 32 of each sort are
// added.
type IDFields struct {
	// Keys are more keys. Their numbers follow those of the table.
	Keys []IDKey
	// Prefixes are more beginnings of ids that are sealed.
	Prefixes []string
	// Collections are more segments of a path behind which an id stands.
	Collections []string
}

// IDKey is a key that is looked at: 1 to 32 bytes, and what its value is. KeyKindPath and
// KeyKindOwn are not for added keys.
type IDKey struct {
	Name string
	Kind KeyKind
}

// IDRing seals and opens single ids. All its methods may be called from any number of goroutines
// concurrently, Close included.
type IDRing struct{ handle atomic.Pointer[idRing] }

// NewIDRing makes a ring of 1 to MaxCookieKeys keys, exactly one of which signs. The keys of
// cookies may be used: what is made of them differs. placementKey may be nil; if it is not, no
// secret may equal it. An error is a [ConfigError].
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
// is 1 to MaxID bytes of A-Z a-z 0-9 _ -, else the error is ErrID. One that is sealed so already
// stays as it is. scope is 0 to MaxScope bytes, owner 0 to MaxKey. It allocates only if dst has no
// room; MaxSealedID bytes suffice.
func (r *IDRing) Seal(dst []byte, scope, owner string, pin uint64, id string) ([]byte, error) {
	h := r.handle.Load()
	if h == nil {
		return dst, ErrNotInitialised
	}
	dst, s := h.sealID(dst, scope, owner, pin, id)
	runtime.KeepAlive(h)
	return dst, s.err()
}

// OpenedID is what a text that may be a sealed id says. Pin and Key count where the verdict is
// IDVerdictSealed.
type OpenedID struct {
	// Pin is the identity hash of the account that the object lives in.
	Pin uint64
	// Verdict is never IDVerdictNone or IDVerdictConflict.
	Verdict IDVerdict
	// Key is the number of the key that sealed it.
	Key uint8
}

// Open reads a text from a client. If the verdict is IDVerdictSealed, it appends the id as the
// provider made it; another verdict is no error.
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

// OpenMark reads encrypted content from a client. If the verdict is IDVerdictSealed, content is
// what stands in front of the mark, and pin the identity hash of its account.
func (r *IDRing) OpenMark(scope, owner, text string) (content string, verdict IDVerdict, pin uint64, err error) {
	h := r.handle.Load()
	if h == nil {
		return "", IDVerdictNone, 0, ErrNotInitialised
	}
	n, verdict, pin, s := h.openMark(scope, owner, text)
	runtime.KeepAlive(h)
	return text[:n], verdict, pin, s.err()
}

// IDSummary is what the ids of a request come to, and how the client wrote them: for [Request.IDs],
// and, so that the response spells them likewise, for what seals it. The zero value is that of a
// request without ids. It is plain data.
type IDSummary struct{ summary }

// IDReport is what a summary says. A key is a number that [Affinity.IDKey] spells; 255 is none.
type IDReport struct {
	// Opened is how many ids were opened, and Plain how many were plain.
	Opened, Plain uint32
	// EchoesLost is how many ids found no room among those whose form is remembered.
	EchoesLost uint32
	// Verdict is the worst of all.
	Verdict IDVerdict
	// Keys are the key of the id that is refused; of a conflict both.
	Keys [2]uint8
	// Refused says that the request is refused for its ids.
	Refused bool
	// Unreadable says that a string is too long to be read as the id that it may be. The request is
	// refused too.
	Unreadable bool
	// Existing says that the request names state that exists.
	Existing bool
	// Seals says that the ids of the response are sealed, regardless of what the client sent.
	Seals bool
	// ChangesResponse says that anything in the response may change: else no one has to look into
	// it.
	ChangesResponse bool
	// Unstored says that the body says "store": false.
	Unstored bool
	// Uploads says that the path is for uploads, so that the request may have a multipart body.
	Uploads bool
	// Downloads says that the path is a download: nothing is to be sealed in the response's body, a
	// client's own.
	Downloads bool
}

// Report gives what the summary says.
func (s *IDSummary) Report() IDReport { return s.report() }

// Quoted gives the id that is refused, or that names the account, as the client wrote it, except
// for escapes: for the text of a refusal. It is empty for one that has more than 64 bytes or other
// characters than ids, and for encrypted content.
func (s *IDSummary) Quoted() string { return s.quoted() }

// IDUse is what a request's ids are opened with, and its response's sealed with.
type IDUse struct {
	// Scope is that of the request: empty for the configured one.
	Scope string
	// Owner is what [Affinity.IDOwner] says of the request.
	Owner string
	// Upstream is the upstream's authority. Absolute URLs that lead there are rewritten where the
	// table has their key; if it is empty, they are not.
	Upstream string
	// Origin is scheme and authority of the client's request, such as "https://gateway.example".
	Origin string
	// IDs is what classification says.
	IDs IDs
	// HasMode says that Mode stands instead of the configured one.
	HasMode bool
	Mode    Mode
}

// IDMode is the configured mode.
func (a *Affinity) IDMode() Mode { return a.idMode }

// IDOwner gives whose the ids of a request are: its consumer's, if they belong to consumers and it
// has one that can be used; else no one's, which is empty.
func (a *Affinity) IDOwner(r *Request) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	owner, s := h.idOwner(r)
	runtime.KeepAlive(h)
	return owner, s.err()
}

// IDKey gives the name of a key by its number, as in [Decision.IDKeys]. The number of none is
// ErrBadEnum.
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
// gives what goes upstream. It is the first thing to do with a request. It allocates only if
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

// OpenInPlace opens the ids of a request's whole body, where it lies, and gives what it is then: a
// part of body, and never longer. unexpected is how many documents were not understood: 0 or 1,
// except for events.
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
// Operation-Location, in a response of the account in slot. An absolute URI of Upstream leads to
// Origin then; one of another host stays as it is. summary is that of the request, or nil. It
// allocates only if something changes.
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

// NewOpenReader gives a reader of body with its ids opened: the body of a request, one JSON
// document or, as its first bytes say, events. Once it was read to its end, summary is complete.
// summary is borrowed for its life.
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

// NewSealReader gives a reader of body with its ids sealed: the body of a response of the account
// in slot. summary is that of the request, or nil. summary is borrowed for its life.
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

// NewSealWriter gives a writer that passes what is written on to out, with its ids sealed, as
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

// IDReader reads a body whose ids are opened or sealed. It holds back what may be an id and is not
// whole yet, and nothing else: a Read that finds something returns it.
type IDReader struct {
	rewriter rewriter
	src      io.Reader
	err      error
	rest     []byte // what goes out and was not read yet
	out      []byte // where that lies
	in       [bodyChunk]byte
}

// Read reads what goes out of the body. Once src has come to its end, or fails, all of it does.
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

// IDWriter writes a body whose ids are sealed. It holds back what may be an id and is not whole
// yet, and nothing else.
type IDWriter struct {
	rewriter rewriter
	dst      io.Writer
	out      []byte
}

// Write rewrites p, and writes what comes of it. What was not written when there is an error is
// lost.
func (w *IDWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += min(len(p)-n, bodyChunk) {
		out, s := w.rewriter.rewrite(w.out[:0], p[n:min(len(p), n+bodyChunk)])
		if err := w.flush(out, s); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// Close writes what is held back at the end of the body. It does not close what it writes to.
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
