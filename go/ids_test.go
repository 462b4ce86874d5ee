package tokenpin

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"
)

func TestIDVectors(t *testing.T) {
	type where struct {
		Ring         jsonRing
		Scope, Owner text
	}
	var file struct {
		Seal []struct {
			where
			ID     string
			Pin    number
			Sealed *string
		}
		Open []struct {
			where
			Text, Verdict string
			Native        *string
			Pin           *number
		}
		Mark []struct {
			where
			Content string
			Pin     number
			Mark    string
		}
		OpenMark []struct {
			where
			Text, Verdict string
			Content       *string
			Pin           *number
		} `json:"open_mark"`
	}
	unmarshal(t, "ids_v1.json", &file)
	ring := func(w *where) *IDRing { return must(NewIDRing(w.Ring.keys(), nil)) }
	for _, c := range file.Seal {
		sealed, err := ring(&c.where).Seal([]byte("x"), string(c.Scope), string(c.Owner), uint64(c.Pin), c.ID)
		if c.Sealed == nil {
			check(t, "seal", err, error(ErrID), c)
			check(t, "seal", string(sealed), "x", c)
			continue
		}
		check(t, "seal", err, nil, c)
		check(t, "seal", string(sealed), "x"+*c.Sealed, c)
	}
	for _, c := range file.Open {
		native, opened, err := ring(&c.where).Open([]byte("x"), string(c.Scope), string(c.Owner), c.Text)
		check(t, "open", err, nil, c)
		check(t, "open", opened.Verdict.String(), c.Verdict, c)
		if c.Native != nil {
			check(t, "open", string(native), "x"+*c.Native, c)
			check(t, "open", opened.Pin, uint64(*c.Pin), c)
		} else {
			check(t, "open", string(native), "x", c)
		}
	}
	for _, c := range file.Mark {
		mark, err := ring(&c.where).Mark([]byte("x"), string(c.Scope), string(c.Owner), uint64(c.Pin), c.Content)
		check(t, "mark", err, nil, c)
		check(t, "mark", string(mark), "x"+c.Mark, c)
	}
	for _, c := range file.OpenMark {
		content, verdict, pin, err := ring(&c.where).OpenMark(string(c.Scope), string(c.Owner), c.Text)
		check(t, "open_mark", err, nil, c)
		check(t, "open_mark", verdict.String(), c.Verdict, c)
		if c.Content != nil {
			check(t, "open_mark", content, *c.Content, c)
			check(t, "open_mark", pin, uint64(*c.Pin), c)
		} else {
			check(t, "open_mark", content, "", c)
		}
	}
	if len(file.Seal) == 0 || len(file.Open) == 0 || len(file.Mark) == 0 || len(file.OpenMark) == 0 {
		t.Error("a list is empty")
	}
}

type jsonSummary struct {
	Verdict                                 string
	Keys                                    [2]uint8
	Refused, Unreadable, Existing, Unstored bool
	Uploads, Downloads                      bool
	Quoted                                  string
	Opened, Plain                           uint32
	Account                                 *struct {
		Pin number
		Key uint8
	}
}

// same says that a summary comes to this.
func (want *jsonSummary) same(t *testing.T, a *Affinity, s *IDSummary, where any) {
	t.Helper()
	want.sameReport(t, s, where)
	if want.Refused {
		return
	}
	r := testRequest()
	r.IDs = s
	d := must(a.Decide(r))
	check(t, "source", d.Source == SourceID, want.Account != nil, where)
	if want.Account == nil {
		return
	}
	check(t, "key", d.IDKeys[0], want.Account.Key, where)
	if d.Slot == NoSlot {
		check(t, "pin state", d.PinState, PinStateGone, where)
		return
	}
	_, pin, err := a.GetSlot(d.Slot)
	check(t, "slot", err, nil, where)
	check(t, "pin", pin, uint64(want.Account.Pin), where)
}

// sameReport says that a summary says this.
func (want *jsonSummary) sameReport(t *testing.T, s *IDSummary, where any) {
	t.Helper()
	got := s.Report()
	got.EchoesLost, got.Seals, got.ChangesResponse = 0, false, false
	check(t, "summary", got, IDReport{Opened: want.Opened, Plain: want.Plain, Verdict: named[IDVerdict](want.Verdict),
		Keys: want.Keys, Refused: want.Refused, Unreadable: want.Unreadable, Existing: want.Existing,
		Unstored: want.Unstored, Uploads: want.Uploads, Downloads: want.Downloads}, where)
	check(t, "quoted", s.Quoted(), want.Quoted, where)
}

// chunks reads a text in pieces of the lengths that next gives.
type chunks struct {
	rest string
	next func() int
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.next(), len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

// cuts gives ways to read body: whole, byte by byte, cut in two anywhere, and at random.
func cuts(body string) (readers []io.Reader) {
	readers = append(readers, &chunks{body, func() int { return len(body) }}, &chunks{body, func() int { return 1 }})
	for at := range len(body) {
		readers = append(readers, io.MultiReader(strings.NewReader(body[:at]), strings.NewReader(body[at:])))
	}
	for range 10 {
		readers = append(readers, &chunks{body, func() int { return 1 + rand.IntN(30) }})
	}
	return readers
}

func TestIDBodyVectors(t *testing.T) {
	var file struct {
		With []struct {
			Ring             jsonRing
			Scope, Owner     text
			Upstream, Origin string
			Pin              number
			Accounts         []number
		}
		Responses []struct {
			IDs                string
			Events             bool
			Body, Out          string
			Sealed, Unexpected uint32
		}
		Requests []struct {
			Mode, IDs, Body, Out string
			Unexpected           uint32
			Summary              jsonSummary
		}
		Targets []struct {
			Mode, IDs, Target, Out string
			Summary                jsonSummary
		}
		Locations []struct{ Target, Out string }
	}
	unmarshal(t, "id_bodies_v1.json", &file)
	with := file.With[0]
	affinity := func(mode string) *Affinity {
		config := idConfig(named[Mode](mode))
		config.IDs.Keys = with.Ring.keys()
		config.Scope = string(with.Scope)
		a := must(New(config))
		for slot, want := range with.Accounts {
			_, pin, err := a.GetSlot(int32(slot))
			check(t, "accounts", err, nil, slot)
			check(t, "accounts", pin, uint64(want), slot)
		}
		return a
	}
	affinities := map[string]*Affinity{"open": affinity("open"), "seal": affinity("seal"), "strict": affinity("strict")}
	seal := affinities["seal"]
	for _, c := range file.Responses {
		use, framing := &IDUse{Owner: string(with.Owner), IDs: named[IDs](c.IDs)}, FramingJSON
		if c.Events {
			framing = FramingEvents
		}
		for i, body := range cuts(c.Body) {
			r := must(seal.NewSealReader(use, nil, 0, framing, body))
			out, err := io.ReadAll(r)
			check(t, "response", err, nil, c)
			check(t, "response", string(out), c.Out, c)
			check(t, "sealed", r.Changed(), c.Sealed, c)
			check(t, "unexpected", r.Unexpected(), c.Unexpected, c)
			var written strings.Builder
			w := must(seal.NewSealWriter(use, nil, 0, framing, &written))
			for at := 0; at < len(c.Body); at += i + 1 {
				must(io.WriteString(w, c.Body[at:min(at+i+1, len(c.Body))]))
			}
			check(t, "close", w.Close(), nil, c)
			check(t, "written", written.String(), c.Out, c)
			check(t, "sealed", w.Changed(), c.Sealed, c)
			check(t, "unexpected", w.Unexpected(), c.Unexpected, c)
		}
	}
	for _, c := range file.Requests {
		a, use := affinities[c.Mode], &IDUse{Owner: string(with.Owner), IDs: named[IDs](c.IDs)}
		var s IDSummary
		place := []byte(c.Body + "behind")
		out, unexpected, err := a.OpenInPlace(use, &s, place[:len(c.Body)])
		check(t, "request", err, nil, c)
		check(t, "request", string(out), c.Out, c)
		check(t, "behind", string(place[len(c.Body):]), "behind", c)
		check(t, "unexpected", unexpected, c.Unexpected, c)
		c.Summary.same(t, a, &s, c)
		for _, body := range cuts(c.Body) {
			var s IDSummary
			r := must(a.NewOpenReader(use, &s, body))
			out, err := io.ReadAll(iotest.OneByteReader(r))
			check(t, "request", err, nil, c)
			check(t, "request", string(out), c.Out, c)
			check(t, "unexpected", r.Unexpected(), c.Unexpected, c)
			check(t, "changed", r.Changed(), c.Summary.Opened, c)
			c.Summary.same(t, a, &s, c)
		}
	}
	for _, c := range file.Targets {
		a, use := affinities[c.Mode], &IDUse{Owner: string(with.Owner), IDs: named[IDs](c.IDs)}
		var s IDSummary
		out, err := a.OpenTarget(use, &s, c.Target)
		check(t, "target", err, nil, c)
		check(t, "target", out, c.Out, c)
		c.Summary.same(t, a, &s, c)
	}
	for _, c := range file.Locations {
		out, err := seal.SealTarget(&IDUse{
			Owner: string(with.Owner), IDs: IDsItems, Upstream: with.Upstream, Origin: with.Origin,
		}, nil, 0, c.Target)
		check(t, "location", err, nil, c)
		check(t, "location", out, c.Out, c)
	}
	if len(file.Responses) == 0 || len(file.Requests) == 0 || len(file.Targets) == 0 || len(file.Locations) == 0 {
		t.Error("a list is empty")
	}
}

// wholly opens or seals a body, in pieces of the lengths that next gives.
type rewritten struct {
	text                string
	changed, unexpected uint32
	report              IDReport
}

func opened(a *Affinity, use *IDUse, body string, next func() int) rewritten {
	var s IDSummary
	r := must(a.NewOpenReader(use, &s, &chunks{body, next}))
	out := must(io.ReadAll(r))
	return rewritten{string(out), r.Changed(), r.Unexpected(), s.Report()}
}

func sealed(a *Affinity, use *IDUse, s *IDSummary, framing Framing, body string, next func() int) rewritten {
	var out strings.Builder
	w := must(a.NewSealWriter(use, s, 0, framing, &out))
	for rest := body; rest != ""; {
		n := min(len(rest), next())
		must(io.WriteString(w, rest[:n]))
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return rewritten{out.String(), w.Changed(), w.Unexpected(), IDReport{}}
}

// cutAnywhere says that a drawn body is rewritten the same way however it is cut, and in place.
func cutAnywhere(d *draws) {
	w := newIDWorld(one(d, ModeSeal, ModeSeal, ModeOpen, ModeStrict, ModeOff))
	w.config.IDs.Fields = ownFields
	a := must(New(w.config))
	use := &IDUse{Owner: one(d, "", "", "alice"), IDs: one(d, IDsItems, IDsItems, IDsBoth, IDsOpen, IDsNone),
		Upstream: "up.example", Origin: "https://gateway.example"}
	body := d.body(w, use.Owner)
	whole := func() int { return max(1, len(body)) }
	ways := []func() int{
		func() int { return 1 },
		func() int { return 1 + d.below(20) },
		func() int { return 1 + d.below(200) },
	}
	same := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			d.t.Fatalf("%s: got %+q, want %+q: %+q", what, got, want, body)
		}
	}

	target, s := d.target(w, use.Owner), IDSummary{}
	native := must(a.OpenTarget(use, &s, target))
	if len(native) > len(target) {
		d.t.Fatalf("%s became %s", target, native)
	}
	if got := s.Report(); w.config.IDs.Mode == ModeSeal && got.Opened == 0 && !got.Refused {
		back := new(IDSummary)
		sealing := *use
		sealing.Origin = "https://" + use.Upstream // where the target leads already
		same("target", must(a.OpenTarget(use, back, must(a.SealTarget(&sealing, nil, 0, target)))), target)
	}

	first := opened(a, use, body, whole)
	for _, next := range ways {
		same("opened", opened(a, use, body, next), first)
	}
	s = IDSummary{}
	if len(first.text) > len(body) {
		d.t.Fatalf("opened, %d bytes become %d", len(body), len(first.text))
	}
	out, unexpected, err := a.OpenInPlace(use, &s, []byte(body))
	same("in place", rewritten{string(out), first.changed, unexpected, s.Report()}, first)
	same("in place", err, error(nil))

	framing := one(d, FramingJSON, FramingJSON, FramingEvents)
	response := sealed(a, use, &s, framing, body, whole)
	for _, next := range ways {
		same("sealed", sealed(a, use, &s, framing, body, next), response)
	}
	r := must(a.NewSealReader(use, &s, 0, framing, &chunks{body, whole}))
	same("read", string(must(io.ReadAll(iotest.HalfReader(r)))), response.text)

	// An id that is sealed here is opened here, and then is what it was.
	var before, after any
	if framing != FramingJSON || w.config.IDs.Mode != ModeSeal || first.report.Opened > 0 || first.report.Refused ||
		json.Unmarshal([]byte(body), &before) != nil {
		return
	}
	use.Upstream = ""
	back := opened(a, use, sealed(a, use, nil, framing, body, whole).text, whole)
	if !back.report.Refused {
		same("valid", json.Unmarshal([]byte(back.text), &after), error(nil))
		same("sealed and opened", after, before)
	}
}

func TestBodiesAreRewrittenHoweverTheyAreCut(t *testing.T) { random(t, 1500, cutAnywhere) }

func FuzzIDs(f *testing.F) { fuzz(f, cutAnywhere) }

func TestNothingIsHeldBackButWhatMayBeAnID(t *testing.T) {
	world := newIDWorld(ModeSeal)
	a := must(New(world.config))
	use := &IDUse{IDs: IDsItems}
	native := "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
	text := strings.Repeat("A", 99)
	content := string(must(world.now.Mark([]byte(text), "", "", world.pins[0], text)))
	body := `{"object":"response","text":"` + native + `","id":"` + native +
		`","encrypted_content":"` + content + `","n":[1,{"x":null}]}`
	id, from := strings.LastIndex(body, native), strings.Index(body, content)
	within := func(at, start int, text string) int {
		if at < start || at > start+len(text) {
			return 0
		}
		return at - start
	}
	for at := range len(body) {
		var out strings.Builder
		w := must(a.NewSealWriter(use, nil, 0, FramingJSON, &out))
		must(io.WriteString(w, body[:at]))
		passed := out.Len()
		check(t, "close", w.Close(), nil, at)
		check(t, "held of a response", out.Len()-passed, within(at, id, native), at)

		var s IDSummary
		before, after := &countingReader{text: body[:at]}, 0
		r := must(a.NewOpenReader(use, &s, before))
		for p := make([]byte, 100); ; {
			n, err := r.Read(p)
			if before.ended {
				after += n
			}
			if err != nil {
				check(t, "read", err, io.EOF, at)
				break
			}
		}
		check(t, "held of a request", after, within(at, id, native)+min(within(at, from, content), IDMarkLen), at)
	}
}

// countingReader gives one byte at a time, and tells when it came to its end.
type countingReader struct {
	text  string
	ended bool
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.text == "" {
		r.ended = true
		return 0, io.EOF
	}
	n := copy(p, r.text[:1])
	r.text = r.text[1:]
	return n, nil
}

func TestAFailureOfTheBodyComesBehindWhatCameBefore(t *testing.T) {
	a := must(New(idConfig(ModeSeal)))
	broken := errors.New("broken")
	body := io.MultiReader(strings.NewReader(`{"a":1,"id":"resp_`), iotest.ErrReader(broken))
	r := must(a.NewSealReader(&IDUse{IDs: IDsItems}, nil, 0, FramingJSON, body))
	out, err := io.ReadAll(r)
	check(t, "body", string(out), `{"a":1,"id":"resp_`, nil)
	check(t, "error", err, broken, nil)
	w := must(a.NewSealWriter(&IDUse{IDs: IDsItems}, nil, 0, FramingJSON, failing{broken}))
	n, err := w.Write([]byte("{}"))
	check(t, "written", n, 0, nil)
	check(t, "error", err, broken, nil)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A client gets its ids back as it wrote them.
func TestTheResponseSpeaksAsTheClientDoes(t *testing.T) {
	const native = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
	for mode := range ModeStrict + 1 {
		world := newIDWorld(mode)
		a := must(New(world.config))
		now := string(must(world.now.Seal(nil, "", "", world.pins[0], native)))
		before := string(must(world.before.Seal(nil, "", "", world.pins[0], native)))
		for _, sent := range []string{native, now, before} {
			var s IDSummary
			use := &IDUse{IDs: IDsItems}
			target := must(a.OpenTarget(use, &s, "/v1/responses/"+sent))
			want := sent
			switch {
			case mode == ModeOff:
				check(t, "target", target, "/v1/responses/"+sent, mode)
				want = native
			case mode == ModeStrict && sent == native: // refused
				want = now
			default:
				check(t, "target", target, "/v1/responses/"+native, mode)
			}
			body := `{"id":"` + native + `"}`
			got := sealed(a, use, &s, FramingJSON, body, func() int { return 7 }).text
			check(t, "body", got, strings.Replace(body, native, want, 1), mode)
			check(t, "location", must(a.SealTarget(use, &s, 0, "/v1/responses/"+native)), "/v1/responses/"+want, mode)
		}
	}
	// 16 are remembered, those of the path first.
	a := must(New(idConfig(ModeSeal)))
	var s IDSummary
	use := &IDUse{IDs: IDsBoth}
	body := `{"file_ids":["` + strings.Repeat(`file-x","`, 3)
	for i := range 20 {
		body += "file-" + string(rune('a'+i)) + `","`
	}
	body += `"],"previous_response_id":"resp_1"}`
	_, _, err := a.OpenInPlace(use, &s, []byte(body))
	check(t, "open", err, nil, body)
	check(t, "lost", s.Report().EchoesLost, uint32(6), body)
	for native, plain := range map[string]bool{
		"file-x": true, "file-a": true, "file-n": true, "file-o": false, "resp_1": true,
	} {
		got := sealed(a, use, &s, FramingJSON, `{"id":"`+native+`"}`, func() int { return 99 }).text
		check(t, native, got == `{"id":"`+native+`"}`, plain, got)
	}
}

func TestAStringOf512BytesIsTheLongestThatIsLookedAt(t *testing.T) {
	a := must(New(idConfig(ModeSeal)))
	use := &IDUse{IDs: IDsItems}
	for length, looked := range map[int]bool{511: true, 512: true, 513: false} {
		// 52 characters are escaped, of six bytes each.
		native := "file-" + strings.Repeat("x", length-52*5-5)
		body := `{"id":"` + native[:len(native)-52] + strings.Repeat(`\u0078`, 52) + `","n":1}`
		check(t, "length", len(body), length+len(`{"id":"","n":1}`), nil)
		for _, n := range []int{1, 300, 10000} {
			next := func() int { return n }
			check(t, "sealed", sealed(a, use, nil, FramingJSON, body, next).changed == 1, looked, length)
			check(t, "unreadable", opened(a, use, body, next).report.Unreadable, !looked, length)
		}
	}
}

// Of those that matter less, the last makes room.
func TestWhatIsRememberedFirst(t *testing.T) {
	a := must(New(idConfig(ModeSeal)))
	use, target := &IDUse{IDs: IDsBoth}, "/v1"
	for i := range 14 {
		target += "/files/file-" + string(rune('a'+i))
	}
	bodies := []string{
		`{"file_id":"file-z"`, `,"container":"cntr_1"`, `,"conversation":"conv_1"`, `,"previous_response_id":"resp_1"`,
	}
	for i, last := range []string{"file-z", "cntr_1", "conv_1", "resp_1"} {
		var s IDSummary
		must(a.OpenTarget(use, &s, target+"?after=file-q"))
		body := strings.Join(bodies[:i+1], "") + "}"
		_, _, err := a.OpenInPlace(use, &s, []byte(body))
		check(t, "open", err, nil, body)
		check(t, "lost", s.Report().EchoesLost, uint32(i), body)
		for _, native := range []string{"file-a", "file-n", "file-q", "file-z", "cntr_1", "conv_1", "resp_1"} {
			plain := native == last || native == "file-a" || native == "file-n" || native == "file-q"
			got := sealed(a, use, &s, FramingJSON, `{"id":"`+native+`"}`, func() int { return 99 }).text
			check(t, native, got == `{"id":"`+native+`"}`, plain, body)
		}
	}
}

func TestAbsoluteURLsLeadBackThroughTheGateway(t *testing.T) {
	a := must(New(idConfig(ModeSeal)))
	use := &IDUse{IDs: IDsBoth, Upstream: "api.example.com", Origin: "http://gateway:8080"}
	body := func(url string) string { return `{"results_url":"` + url + `"}` }
	id := string(must(newIDWorld(ModeSeal).now.Seal(nil, "", "", must(IdentityHash("account-a")), "msgbatch_1")))
	for url, want := range map[string]string{
		`https:\/\/API.example.com/v1/messages/batches/msgbatch_1/results?x=1`: "http://gateway:8080/v1/messages/batches/" + id + "/results?x=1",
		"https://api.example.com": "http://gateway:8080",
		"https://other.example.com/v1/messages/batches/msgbatch_1/results": "",
		"https://api.example.com.evil/v1/files/file-1":                     "",
		"/v1/files/file-1": "",
		`https://api.example.com/v1/files/file-1\"\\`:                   "",
		"https:/v1/api.example.com/files/file-1":                        "",
		"https://api.example.com" + strings.Repeat("/files/file-1", 30): "",
	} {
		if want == "" {
			want = url
		}
		for _, n := range []int{1, 30, 1000} {
			check(t, "url", sealed(a, use, nil, FramingJSON, body(url), func() int { return n }).text, body(want), n)
		}
	}
}

// Time is linear in the length of a body, for any content.
func TestNoBodyIsSlow(t *testing.T) {
	size := 4 << 20
	if runtime.GOARCH == "wasm" {
		size /= 8
	}
	a := must(New(idConfig(ModeStrict)))
	use := &IDUse{IDs: IDsItems}
	start := time.Now()
	for front, part := range map[string]string{
		"": "[", `{"id":"`: `\\`, `{"id" :"`: "a", `["`: `\\`,
		`{"encrypted_content":"`: `\\`, `{"encrypted_content" :"`: `\u0041`,
		`{"metadata":"`: `x`, `{"metadata":{"`: `\\`, `{"metadata":`: `[`,
		"data: ": "\r", "data:": "data:\r", `{"`: `\\`, `{"input":[`: `{"id":"msg_1"},`,
		"data: {\"id\":\"x": "\r\n", `{"file_ids":[`: `"x",`,
	} {
		body := []byte(front + strings.Repeat(part, size/len(part)))
		var s IDSummary
		_, _, err := a.OpenInPlace(use, &s, body)
		check(t, "open", err, nil, front+part)
		w := must(a.NewSealWriter(use, nil, 0, FramingJSON, io.Discard))
		must(w.Write(body))
		check(t, "close", w.Close(), nil, front+part)
	}
	// A second would do on an idle machine. What is quadratic takes hours.
	if took := time.Since(start); took > time.Minute {
		t.Error(took)
	}
}

// A body takes little memory, however long it is, and always the same.
func TestABodyTakesLessThanAKilobyte(t *testing.T) {
	if size := unsafe.Sizeof(puregoBody{}); size >= 1024 {
		t.Error(size)
	}
}

func TestIDArguments(t *testing.T) {
	a := must(New(idConfig(ModeSeal)))
	ring := must(NewIDRing(idConfig(ModeSeal).IDs.Keys, nil))
	long, s := strings.Repeat("x", 5000), new(IDSummary)
	calls := func(use *IDUse, s *IDSummary, slot int32, framing Framing) (errs []error) {
		_, opening := a.OpenTarget(use, s, "/")
		_, _, inPlace := a.OpenInPlace(use, s, nil)
		_, reader := a.NewOpenReader(use, s, nil)
		if opening != inPlace || inPlace != reader {
			t.Errorf("%v, %v, %v", opening, inPlace, reader)
		}
		_, target := a.SealTarget(use, s, slot, "/")
		_, sealReader := a.NewSealReader(use, s, slot, framing, nil)
		_, sealWriter := a.NewSealWriter(use, s, slot, framing, nil)
		if sealReader != sealWriter {
			t.Errorf("%v, %v", sealReader, sealWriter)
		}
		return []error{opening, target, sealReader}
	}
	all := func(err error) []error { return []error{err, err, err} }
	for what, c := range map[string]struct {
		got, want []error
	}{
		"all right":   {calls(&IDUse{IDs: IDsItems}, s, 1, FramingEvents), []error{nil, nil, nil}},
		"no use":      {calls(nil, s, 0, FramingJSON), all(ErrNullPointer)},
		"no summary":  {calls(&IDUse{}, nil, 0, FramingJSON), []error{ErrNullPointer, nil, nil}},
		"a scope":     {calls(&IDUse{Scope: long}, s, 0, FramingJSON), all(ErrScopeLength)},
		"an owner":    {calls(&IDUse{Owner: long}, s, 0, FramingJSON), all(ErrKeyLength)},
		"ids":         {calls(&IDUse{IDs: 4}, s, 0, FramingJSON), all(ErrBadEnum)},
		"a mode":      {calls(&IDUse{HasMode: true, Mode: 4}, s, 0, FramingJSON), all(ErrBadEnum)},
		"no slot":     {calls(&IDUse{}, s, NoSlot, FramingJSON), []error{nil, ErrSlotRange, ErrSlotRange}},
		"a slot":      {calls(&IDUse{}, s, 3, FramingJSON), []error{nil, ErrSlotRange, ErrSlotRange}},
		"vacant slot": {calls(&IDUse{}, s, 2, FramingJSON), []error{nil, ErrVacant, ErrVacant}},
		"framing":     {calls(&IDUse{}, s, 0, 2), []error{nil, nil, ErrBadEnum}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v", what, c.got)
		}
	}
	for number, want := range map[uint8]string{0: "path", 6: "previous_response_id", 255: "", 200: ""} {
		name, err := a.IDKey(number)
		check(t, "key", name, want, number)
		check(t, "key", err == nil, want != "", number)
	}
	for _, c := range []struct{ scope, owner string }{{long, ""}, {"", long}} {
		want := error(ErrScopeLength)
		if c.scope == "" {
			want = ErrKeyLength
		}
		_, seal := ring.Seal(nil, c.scope, c.owner, 1, "resp_1")
		_, _, open := ring.Open(nil, c.scope, c.owner, "resp_1")
		_, mark := ring.Mark(nil, c.scope, c.owner, 1, "x")
		_, _, _, openMark := ring.OpenMark(c.scope, c.owner, "x")
		check(t, "ring", [4]error{seal, open, mark, openMark}, [4]error{want, want, want, want}, c)
	}
	_, err := ring.Mark(nil, "", "", 1, "")
	check(t, "mark", err, error(ErrID), nil)

	r := must(a.NewSealReader(&IDUse{IDs: IDsBoth}, nil, 0, FramingJSON, strings.NewReader(`{"id":"resp_1"}`)))
	a.Close()
	ring.Close()
	for what, errs := range map[string][]error{"affinity": calls(&IDUse{}, s, 0, FramingJSON)} {
		check(t, what, errs[0], error(ErrNotInitialised), nil)
		check(t, what, errs[1], error(ErrNotInitialised), nil)
	}
	_, err = ring.Seal(nil, "", "", 1, "resp_1")
	check(t, "ring", err, error(ErrNotInitialised), nil)
	// A body under way continues.
	out, err := io.ReadAll(r)
	check(t, "under way", err, nil, nil)
	check(t, "under way", strings.HasSuffix(string(out), `tp0"}`), true, string(out))
}

func TestIDConfigurationsAreChecked(t *testing.T) {
	names := func(n int) (keys []IDKey) {
		for range n {
			keys = append(keys, IDKey{"x", KeyKindID})
		}
		return keys
	}
	for _, c := range []struct {
		change func(*IDConfig)
		want   ConfigError
	}{
		{func(c *IDConfig) { c.Mode = 4 }, ConfigError{ErrBadEnum, FieldIDMode, 0}},
		{func(c *IDConfig) { c.Owner = 2 }, ConfigError{ErrBadEnum, FieldIDOwner, 0}},
		{func(c *IDConfig) { c.ForeignSeals = 3 }, ConfigError{ErrBadEnum, FieldForeignSeals, 0}},
		{func(c *IDConfig) {
			for i := range byte(7) {
				c.Keys = append(c.Keys, CookieKey{10 + i, RoleAccept, secretOf(10 + i)})
			}
		}, ConfigError{ErrKeyCount, FieldIDKeys, 8}},
		{func(c *IDConfig) { c.Keys[1].Secret = Secret{} }, ConfigError{ErrZeroSecret, FieldIDKeys, 1}},
		{func(c *IDConfig) { c.Keys[0].Role = RoleAccept }, ConfigError{ErrSigningKeys, FieldIDKeys, 0}},
		{func(c *IDConfig) { c.Fields.Keys = []IDKey{{"a", KeyKindID}, {"", KeyKindID}} },
			ConfigError{ErrIDField, FieldIDFields, 1}},
		{func(c *IDConfig) { c.Fields.Keys = []IDKey{{"a", KeyKindOwn}} }, ConfigError{ErrIDField, FieldIDFields, 0}},
		{func(c *IDConfig) { c.Fields.Keys = []IDKey{{strings.Repeat("k", 33), KeyKindID}} },
			ConfigError{ErrIDField, FieldIDFields, 0}},
		{func(c *IDConfig) { c.Fields.Keys = names(33) }, ConfigError{ErrIDField, FieldIDFields, 32}},
		{func(c *IDConfig) { c.Fields.Prefixes = []string{"x."} }, ConfigError{ErrIDField, FieldIDPrefixes, 0}},
		{func(c *IDConfig) { c.Fields.Collections = []string{"x", "a/b"} }, ConfigError{ErrIDField, FieldIDCollections, 1}},
	} {
		config := idConfig(ModeSeal)
		c.change(&config.IDs)
		_, err := New(config)
		var refused *ConfigError
		if !errors.As(err, &refused) || *refused != c.want {
			t.Errorf("%v, not %v", err, &c.want)
		}
	}
	// Added fields count.
	config := idConfig(ModeSeal)
	config.IDs.Fields = IDFields{names(32), []string{"own."[:3]}, []string{"things"}}
	a := must(New(config))
	check(t, "key", must(a.IDKey(uint8(len(idKeys)))), "x", nil)
	use := &IDUse{IDs: IDsBoth}
	check(t, "sealed", sealed(a, use, nil, FramingJSON, `{"x":"own_1"}`, func() int { return 9 }).changed, uint32(1), nil)
	check(t, "path", strings.HasSuffix(must(a.SealTarget(use, nil, 0, "/things/own_1")), "tp0"), true, nil)
	// Whose ids are distinguished by.
	for owner, want := range map[IDOwner]string{IDOwnerNone: "", IDOwnerConsumer: "alice"} {
		config := idConfig(ModeSeal)
		config.IDs.Owner = owner
		a := must(New(config))
		r := &Request{Consumers: []string{"", "alice", "alice"}, ConsumerTrusted: true}
		check(t, "owner", must(a.IDOwner(r)), want, owner)
		r.ConsumerTrusted = false
		check(t, "owner", must(a.IDOwner(r)), "", owner)
	}
	// The ring is the cookies', if none is given; and it is of the fingerprint, as is the owner.
	prints := map[uint64]bool{}
	for _, change := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.IDs.Keys = nil },
		func(c *Config) { c.IDs.Owner = IDOwnerConsumer },
		func(c *Config) { c.IDs.Keys[0].ID = 9 },
	} {
		config := idConfig(ModeSeal)
		change(config)
		prints[must(must(New(config)).Fingerprint())] = true
	}
	check(t, "fingerprints", len(prints), 4, nil)
}
