package tokenpin

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
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
	Opened, Plain                           uint32
	Account                                 *struct {
		Pin number
		Key uint8
	}
}

// same says that a summary comes to this.
func (want *jsonSummary) same(t *testing.T, a *Affinity, s *IDSummary, where any) {
	t.Helper()
	got := s.Report()
	got.EchoesLost = 0
	check(t, "summary", got, IDReport{Opened: want.Opened, Plain: want.Plain, Verdict: named[IDVerdict](want.Verdict),
		Keys: want.Keys, Refused: want.Refused, Unreadable: want.Unreadable, Existing: want.Existing,
		Unstored: want.Unstored}, where)
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

// idConfig is that of tests with ids, and of the vectors.
func idConfig(mode IDMode) *Config {
	config := testConfig()
	config.Slots = []SlotConfig{{"account-a", Up}, {"account-b", Up}, {Status: SlotStatus{State: StateVacant}}}
	secret := func(b byte) (s Secret) { return Secret(bytes.Repeat([]byte{b}, 16)) }
	config.IDs.Mode = mode
	config.IDs.Keys = []CookieKey{{1, RoleSign, secret(1)}, {2, RoleAccept, secret(2)}}
	return config
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
			Ring         jsonRing
			Scope, Owner text
			Pin          number
			Accounts     []number
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
		config := idConfig(named[IDMode](mode))
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
		out, err := seal.SealTarget(&IDUse{Owner: string(with.Owner), IDs: IDsItems}, nil, 0, c.Target)
		check(t, "location", err, nil, c)
		check(t, "location", out, c.Out, c)
	}
	if len(file.Responses) == 0 || len(file.Requests) == 0 || len(file.Targets) == 0 || len(file.Locations) == 0 {
		t.Error("a list is empty")
	}
}
