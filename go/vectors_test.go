package tokenpin

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// The vectors that all implementations share; their README.md says how they read.
const vectors = "../tests/vectors"

func readVectors(t *testing.T, file string) []byte {
	t.Helper()
	if _, err := os.Stat("../Cargo.toml"); err != nil {
		t.Skip("the vectors are only in the checkout, and not in the module")
	}
	data, err := os.ReadFile(filepath.Join(vectors, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unmarshal(t *testing.T, file string, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(readVectors(t, file)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// text is a byte string in hexadecimal digits.
type text string

func (x *text) UnmarshalJSON(data []byte) error {
	var digits string
	if err := json.Unmarshal(data, &digits); err != nil {
		return err
	}
	raw, err := hex.DecodeString(digits)
	*x = text(raw)
	return err
}

func (x text) bytes16() (b [16]byte) {
	if len(x) != 16 {
		panic("not 16 bytes")
	}
	copy(b[:], x)
	return b
}

// number is an integer in hexadecimal digits.
type number uint64

func (x *number) UnmarshalJSON(data []byte) error {
	digits, err := strconv.Unquote(string(data))
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	*x = number(n)
	return err
}

// named finds the value of an enum by its name.
func named[T ~uint8](name string) T {
	for value := range T(30) {
		if fmt.Sprint(value) == name {
			return value
		}
	}
	panic("no value is called " + name)
}

type jsonKey struct {
	Kind         Kind
	Key, Session text
}

func (k *jsonKey) key() Key {
	if k == nil {
		return Key{}
	}
	return Key{k.Kind, string(k.Key), string(k.Session)}
}

type jsonSlot struct {
	Identity text
	State    string
	Weight   uint32
	Until    int64
}

func slotConfigs(slots []*jsonSlot) (made []SlotConfig) {
	for _, s := range slots {
		if s == nil {
			made = append(made, SlotConfig{Status: SlotStatus{State: StateVacant}})
		} else {
			made = append(made, SlotConfig{string(s.Identity), SlotStatus{s.Until, s.Weight, named[State](s.State)}})
		}
	}
	return made
}

type jsonRing []struct {
	ID     uint8
	Role   string
	Secret text
}

func (r jsonRing) keys() (keys []CookieKey) {
	for _, k := range r {
		keys = append(keys, CookieKey{k.ID, named[Role](k.Role), k.Secret.bytes16()})
	}
	return keys
}

func check(t *testing.T, what string, got, want, where any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v: %+v", what, got, want, where)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestSelectionVectors(t *testing.T) {
	var file struct {
		IdentityHash []struct {
			Identity text
			Hash     number
		} `json:"identity_hash"`
		KeyHash []struct {
			PlacementKey text `json:"placement_key"`
			Scope        text
			Key          jsonKey
			H            number
		} `json:"key_hash"`
		Jump []struct {
			Key    number
			N      int32
			Bucket int32
		}
		Select []struct {
			Strategy  string
			Slots     []*jsonSlot
			Now       int64
			Tried     []int32
			Anonymous bool
			H         number
			Key       *jsonKey
			Slot      *int32
		}
	}
	unmarshal(t, "selection_v1.json", &file)
	for _, c := range file.IdentityHash {
		check(t, "identity_hash", must(IdentityHash(string(c.Identity))), uint64(c.Hash), c)
	}
	for _, c := range file.KeyHash {
		placementKey := Secret(c.PlacementKey.bytes16())
		check(t, "key_hash", must(KeyHash(&placementKey, string(c.Scope), c.Key.key())), uint64(c.H), c)
	}
	for _, c := range file.Jump {
		check(t, "jump", must(Jump(uint64(c.Key), c.N)), c.Bucket, c)
	}
	for _, c := range file.Select {
		want := NoSlot
		if c.Slot != nil {
			want = *c.Slot
		}
		strategy, filter := named[Strategy](c.Strategy), Filter{c.Now, c.Tried, c.Anonymous}
		slots := must(NewSlots(slotConfigs(c.Slots)))
		if c.Key != nil {
			check(t, "select_higress", must(slots.SelectHigress(filter, uint64(c.H), c.Key.key())), want, c)
			continue
		}
		check(t, "select", must(slots.Select(strategy, filter, uint64(c.H))), want, c)
		selected := make([]int32, 20)
		hashes := slices.Repeat([]uint64{uint64(c.H)}, len(selected))
		err := slots.SelectBatch(selected, strategy, filter, hashes)
		check(t, "select_batch", err, nil, c)
		for _, slot := range selected {
			check(t, "select_batch", slot, want, c)
		}
	}
	if len(file.IdentityHash) == 0 || len(file.KeyHash) == 0 || len(file.Jump) == 0 || len(file.Select) == 0 {
		t.Error("a list is empty")
	}
}

func TestJumpVectors(t *testing.T) {
	for _, file := range []string{
		"jump_clickhouse.csv", "jump_go-jump_refcpp.csv", "jump_guava.csv", "jump_python_lithammer.csv",
		"jump_rounding_edges.csv", "jump_rust_jmphash.csv",
	} {
		reader := csv.NewReader(bytes.NewReader(readVectors(t, file)))
		reader.Comment = '#'
		rows, err := reader.ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %v", file, err)
		}
		for _, row := range rows[1:] {
			key := must(strconv.ParseUint(row[0], 10, 64))
			n := must(strconv.ParseInt(row[1], 10, 32))
			check(t, file, strconv.Itoa(int(must(Jump(key, int32(n))))), row[2], row)
		}
	}
}

func TestSipHashVectors(t *testing.T) {
	key := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for file, start := range map[string]func() sip{
		"siphash13_64_generated_refC.csv": func() sip { return newSip(newSipKey(&key), 1, 3) },
		"siphash13_64_rust-siphash.csv":   func() sip { return newSip(newSipKey(&key), 1, 3) },
		"siphash24_64.csv":                func() sip { return newSip(newSipKey(&key), 2, 4) },
		"siphash24_128.csv":               func() sip { return sip128(newSipKey(&key)) },
	} {
		reader := csv.NewReader(bytes.NewReader(readVectors(t, file)))
		reader.Comment = '#'
		rows, err := reader.ReadAll()
		if err != nil || len(rows) < 60 {
			t.Fatalf("%s: %v", file, err)
		}
		for _, row := range rows[1:] {
			message, want := must(hex.DecodeString(row[1])), must(hex.DecodeString(row[2]))
			for cut := range len(message) + 1 {
				s := start()
				s.text(string(message[:cut]))
				s.text(string(message[cut:]))
				var words []uint64
				if len(want) == 16 {
					low, high := s.sum128()
					words = []uint64{low, high}
				} else {
					words = []uint64{s.sum64()}
				}
				for i, word := range words {
					check(t, file, word, le64(string(want[8*i:])), row)
				}
			}
		}
	}
}

type jsonCookie struct {
	Kind        Kind
	IssuedAt    uint32 `json:"issued_at"`
	RefreshedAt uint32 `json:"refreshed_at"`
	ID          text
	Pin         number
}

func (c *jsonCookie) cookie() Cookie {
	if c == nil {
		return Cookie{}
	}
	return Cookie{uint64(c.Pin), c.IssuedAt, c.RefreshedAt, c.ID.bytes16(), c.Kind}
}

func TestCookieVectors(t *testing.T) {
	var file struct {
		Encode []struct {
			Ring   jsonRing
			Name   string
			Scope  text
			Key    *jsonKey
			Cookie jsonCookie
			Value  string
		}
		Decode []struct {
			Ring   jsonRing
			Name   string
			Scope  text
			Key    *jsonKey
			Limits struct {
				Skew            uint32
				MaxLife         uint32 `json:"max_life"`
				MaxIdle         uint32 `json:"max_idle"`
				RefreshInterval uint32 `json:"refresh_interval"`
			}
			Now     int64
			Value   string
			Verdict string
			Cookie  *jsonCookie
		}
		Header []struct {
			Field, Name string
			Values      []string
			Stripped    string
		}
		DefaultName []struct {
			Scope text
			Name  string
		} `json:"default_name"`
	}
	unmarshal(t, "cookie_v1.json", &file)
	verdicts := map[Verdict]bool{}
	for _, c := range file.Encode {
		ring := must(NewKeyRing(c.Ring.keys(), nil))
		value := must(ring.Encode([]byte("x"), c.Name, string(c.Scope), c.Key.key(), c.Cookie.cookie()))
		check(t, "encode", string(value), "x"+c.Value, c)
	}
	for _, c := range file.Decode {
		ring := must(NewKeyRing(c.Ring.keys(), nil))
		verdict, cookie, err := ring.Decode(c.Name, string(c.Scope), c.Key.key(), Limits(c.Limits), c.Now, c.Value)
		check(t, "decode", err, nil, c)
		check(t, "decode", verdict.String(), c.Verdict, c)
		check(t, "decode", cookie, c.Cookie.cookie(), c)
		verdicts[verdict] = true
	}
	for _, c := range file.Header {
		values := CookieValues([]string{"x"}, c.Field, c.Name)
		if !slices.Equal(values[1:], c.Values) {
			t.Errorf("values: got %q: %+v", values, c)
		}
		check(t, "stripped", CookieStrip(c.Field, c.Name), c.Stripped, c)
	}
	for _, c := range file.DefaultName {
		check(t, "default_name", must(CookieDefaultName(string(c.Scope))), c.Name, c)
	}
	if len(verdicts) != len(verdictNames)-1 || // all but VerdictAbsent
		len(file.Header) == 0 || len(file.DefaultName) == 0 {
		t.Errorf("only %v was there", verdicts)
	}
}

type jsonConfig struct {
	PlacementKey text     `json:"placement_key"`
	CookieKeys   jsonRing `json:"cookie_keys"`
	Slots        []*jsonSlot
	Strategy     string
	Scope        text
	CookieName   *string `json:"cookie_name"`
	Attributes   struct {
		Path, Domain string
		Secure       bool
		HTTPOnly     bool   `json:"http_only"`
		SameSite     string `json:"same_site"`
		Partitioned  bool
	}
	MaxAge         *uint32 `json:"max_age"`
	Skew           uint32
	MaxLife        uint32 `json:"max_life"`
	MaxIdle        uint32 `json:"max_idle"`
	Success        [2]uint16
	PolicyExisting string                        `json:"policy_existing"`
	PolicyNew      string                        `json:"policy_new"`
	CombineKeys    bool                          `json:"combine_keys"`
	RejectBadKeys  bool                          `json:"reject_bad_keys"`
	KeyedCookies   bool                          `json:"keyed_cookies"`
	MintSingle     bool                          `json:"mint_single"`
	PromptCache    bool                          `json:"prompt_cache"`
	IDMode         string                        `json:"id_mode"`
	IDKeys         jsonRing                      `json:"id_keys"`
	IDOwner        string                        `json:"id_owner"`
	ForeignSeals   string                        `json:"foreign_seals"`
	Encrypted      bool                          `json:"encrypted_content"`
	IDFields       []struct{ Name, Kind string } `json:"id_fields"`
	IDPrefixes     []string                      `json:"id_prefixes"`
	IDCollections  []string                      `json:"id_collections"`
}

func (c *jsonConfig) config() *Config {
	config := &Config{
		PlacementKey: c.PlacementKey.bytes16(), CookieKeys: c.CookieKeys.keys(), Slots: slotConfigs(c.Slots),
		Strategy: named[Strategy](c.Strategy), Scope: string(c.Scope),
		Attributes: Attributes{c.Attributes.Path, c.Attributes.Domain, c.Attributes.Secure, c.Attributes.HTTPOnly,
			named[SameSite](c.Attributes.SameSite), c.Attributes.Partitioned},
		MaxAge: MaxAgeAuto, Skew: c.Skew, MaxLife: c.MaxLife, MaxIdle: c.MaxIdle,
		SuccessFirst: c.Success[0], SuccessLast: c.Success[1],
		PolicyExisting: named[Policy](c.PolicyExisting), PolicyNew: named[Policy](c.PolicyNew),
		CombineKeys: c.CombineKeys, RejectBadKeys: c.RejectBadKeys, KeyedCookies: c.KeyedCookies,
		MintSingle: c.MintSingle, PromptCache: c.PromptCache,
		IDs: IDConfig{named[Mode](c.IDMode), c.IDKeys.keys(), named[IDOwner](c.IDOwner), named[ForeignSeals](c.ForeignSeals),
			c.Encrypted, IDFields{Prefixes: c.IDPrefixes, Collections: c.IDCollections}},
	}
	for _, key := range c.IDFields {
		config.IDs.Fields.Keys = append(config.IDs.Fields.Keys, IDKey{key.Name, named[KeyKind](key.Kind)})
	}
	if c.CookieName != nil {
		config.CookieName = *c.CookieName
	}
	if c.MaxAge != nil {
		config.MaxAge = *c.MaxAge
	}
	return config
}

type jsonRequest struct {
	Group           *string
	Existing        bool
	Method, Target  string
	Consumers       []text
	ConsumerTrusted bool `json:"consumer_trusted"`
	Sessions        []text
	Cookies         []string
	CarrierValue    string `json:"carrier_value"`
	Carrier         bool
	Scope           text
	Tried           []int32
	Now             int64
	Entropy         text
	IDHint          *text `json:"id_hint"`
	Body            string
}

// jsonOpened is what becomes of a request's target and body.
type jsonOpened struct {
	IDs, Target, Body string
	Unexpected        uint32
	Seals             bool
	Summary           jsonSummary
}

// of opens them, so that the request has their summary.
func (want *jsonOpened) of(t *testing.T, a *Affinity, r *Request, body string, where any) {
	t.Helper()
	if want == nil {
		return
	}
	class, err := a.Classify(r.Method, r.Target)
	check(t, "classify", err, nil, where)
	check(t, "ids", class.IDs.String(), want.IDs, where)
	use := &IDUse{Scope: r.Scope, Owner: must(a.IDOwner(r)), IDs: class.IDs}
	r.IDs = new(IDSummary)
	target, err := a.OpenTarget(use, r.IDs, r.Target)
	check(t, "target", err, nil, where)
	check(t, "target", target, want.Target, where)
	opened, unexpected, err := a.OpenInPlace(use, r.IDs, []byte(body))
	check(t, "body", err, nil, where)
	check(t, "body", string(opened), want.Body, where)
	check(t, "unexpected", unexpected, want.Unexpected, where)
	check(t, "seals", r.IDs.Report().Seals, want.Seals, where)
	want.Summary.sameReport(t, r.IDs, where)
}

func texts(values []text) (strings []string) {
	for _, value := range values {
		strings = append(strings, string(value))
	}
	return strings
}

func (r *jsonRequest) request() *Request {
	request := &Request{
		Method: r.Method, Target: r.Target, Consumers: texts(r.Consumers), ConsumerTrusted: r.ConsumerTrusted,
		Sessions: texts(r.Sessions), Cookies: r.Cookies, CarrierValue: r.CarrierValue, Carrier: r.Carrier,
		Scope: string(r.Scope), Tried: r.Tried, Existing: r.Existing, Now: r.Now, Entropy: r.Entropy.bytes16(),
	}
	if r.Group != nil {
		request.HasGroup, request.Group = true, named[Group](*r.Group)
	}
	if r.IDHint != nil {
		hint := r.IDHint.bytes16()
		request.IDHint = &hint
	}
	return request
}

func TestDecisionVectors(t *testing.T)   { decisionVectors(t, "decision_v1.json") }
func TestIDDecisionVectors(t *testing.T) { decisionVectors(t, "decision_ids_v1.json") }

func decisionVectors(t *testing.T, name string) {
	var file struct {
		Classify []struct {
			Method, Target string
			PromptCache    bool `json:"prompt_cache"`
			Group          string
			Existing       bool
			IDs            string
		}
		Configs []jsonConfig
		Cases   []struct {
			Config   int
			Request  jsonRequest
			Opened   *jsonOpened
			Decision struct {
				Slot        *int32
				IDVerdict   string   `json:"id_verdict"`
				IDKeys      [2]uint8 `json:"id_keys"`
				Refusal     string
				Status      int `json:"refusal_status"`
				Source      string
				Outcome     string
				PinState    string `json:"pin_state"`
				Verdict     string
				KeyReason   string `json:"key_reason"`
				Ambiguous   bool
				Existing    bool
				MayMove     bool   `json:"may_move"`
				RetryAfter  uint32 `json:"retry_after"`
				Fingerprint number
				Cookie      *struct {
					Value   string
					MaxAge  uint32 `json:"max_age"`
					Carrier bool
				}
			}
			LiveFingerprint number `json:"live_fingerprint"`
			Finish          []struct {
				Status int
				Answer string
				Text   string
			}
		}
		Refused []struct {
			Config  int
			Request jsonRequest
			Opened  *jsonOpened
			Error   string
		}
		IDHint []struct {
			PlacementKey text `json:"placement_key"`
			Of           text
			IDHint       text `json:"id_hint"`
		} `json:"id_hint"`
	}
	unmarshal(t, name, &file)
	for _, c := range file.IDHint {
		config := testConfig()
		config.PlacementKey = c.PlacementKey.bytes16()
		check(t, "id_hint", must(must(New(config)).IDHint(string(c.Of))), c.IDHint.bytes16(), c)
	}
	for _, c := range file.Classify {
		class, err := Classify(nil, false, c.PromptCache, c.Method, c.Target)
		check(t, "classify", err, nil, c)
		check(t, "classify", class.Group.String(), c.Group, c)
		check(t, "classify", class.Existing, c.Existing, c)
		check(t, "classify", class.IDs.String(), c.IDs, c)
	}
	var affinities []*Affinity
	for i := range file.Configs {
		affinities = append(affinities, must(New(file.Configs[i].config())))
	}
	for _, c := range file.Cases {
		a, request, want := affinities[c.Config], c.Request.request(), &c.Decision
		c.Opened.of(t, a, request, c.Request.Body, c)
		d, err := a.Decide(request)
		check(t, "decide", err, nil, c)
		slot := NoSlot
		if want.Slot != nil {
			slot = *want.Slot
		}
		check(t, "slot", d.Slot, slot, c)
		check(t, "source", d.Source.String(), want.Source, c)
		check(t, "outcome", d.Outcome.String(), want.Outcome, c)
		check(t, "pin_state", d.PinState.String(), want.PinState, c)
		check(t, "verdict", d.Verdict.String(), want.Verdict, c)
		check(t, "id_verdict", d.IDVerdict.String(), want.IDVerdict, c)
		check(t, "id_keys", d.IDKeys, want.IDKeys, c)
		refusal, code := d.Refusal()
		check(t, "refusal", refusal.String(), want.Refusal, c)
		check(t, "refusal", code, want.Status, c)
		check(t, "key_reason", d.KeyReason.String(), want.KeyReason, c)
		check(t, "ambiguous", d.Ambiguous, want.Ambiguous, c)
		check(t, "existing", d.Existing, want.Existing, c)
		check(t, "may_move", d.MayMove, want.MayMove, c)
		check(t, "retry_after", d.RetryAfter, want.RetryAfter, c)
		check(t, "fingerprint", d.Fingerprint(), uint64(want.Fingerprint), c)
		check(t, "fingerprint", must(a.Fingerprint()), uint64(want.Fingerprint), c)
		check(t, "cookie", d.SetsCookie(), want.Cookie != nil, c)
		if want.Cookie != nil {
			check(t, "value", string(d.value[:]), want.Cookie.Value, c)
			check(t, "max_age", d.maxAge, want.Cookie.MaxAge, c)
			check(t, "carrier", d.carrier, want.Cookie.Carrier, c)
		}
		check(t, "live_fingerprint", must(a.LiveFingerprint(request.Now)), uint64(c.LiveFingerprint), c)
		for _, f := range c.Finish {
			text, answer, err := a.Finish([]byte("x"), &d, f.Status)
			check(t, "finish", err, nil, c)
			check(t, "finish", answer.String(), f.Answer, c)
			check(t, "finish", string(text), "x"+f.Text, c)
		}
	}
	for _, c := range file.Refused {
		a, request := affinities[c.Config], c.Request.request()
		c.Opened.of(t, a, request, c.Request.Body, c)
		d, err := a.Decide(request)
		var status Status
		if !errors.As(err, &status) || status.String() != c.Error || d != (Decision{Slot: NoSlot}) {
			t.Errorf("refused: got %v, %v: %+v", d, err, c)
		}
	}
	withIDs := len(file.Cases) > 0 && file.Cases[0].Opened != nil
	if len(file.Cases) == 0 || len(file.Refused) == 0 || !withIDs && (len(file.IDHint) == 0 || len(file.Classify) == 0) {
		t.Error("a list is empty")
	}
}
