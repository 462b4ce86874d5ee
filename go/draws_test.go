package tokenpin

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The source of inputs for random tests and fuzz targets: bytes.

type draws struct {
	data []byte
	t    testing.TB
}

// byte is 0 when nothing is left.
func (d *draws) byte() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *draws) below(n int) int { return int(d.u16()) % n }
func (d *draws) u16() uint16     { return uint16(d.byte()) | uint16(d.byte())<<8 }
func (d *draws) flag() bool      { return d.byte()&1 == 1 }
func (d *draws) rarely() bool    { return d.byte()%8 == 7 }

func one[T any](d *draws, of ...T) T { return of[d.below(len(of))] }

func secretOf(b byte) (s Secret) {
	for i := range s {
		s[i] = b
	}
	return s
}

// idWorld is what drawn ids are sealed with.
type idWorld struct {
	config      *Config
	scope       string
	now, before *IDRing // the signing key, and the one before it
	pins        [3]uint64
}

// idConfig is that of tests with ids, and of the vectors.
func idConfig(mode Mode) *Config {
	config := testConfig()
	config.Slots = []SlotConfig{{"account-a", Up}, {"account-b", Up}, {Status: SlotStatus{State: StateVacant}}}
	config.IDs.Mode = mode
	config.IDs.Keys = []CookieKey{{1, RoleSign, secretOf(1)}, {2, RoleAccept, secretOf(2)}}
	return config
}

func newIDWorld(mode Mode) *idWorld {
	w := &idWorld{config: idConfig(mode)}
	keys := w.config.IDs.Keys
	w.now = must(NewIDRing(keys, nil))
	w.before = must(NewIDRing([]CookieKey{{1, RoleAccept, keys[0].Secret}, {2, RoleSign, keys[1].Secret}}, nil))
	for i, account := range []string{"account-a", "account-b", "account-c"} { // the last is not in the set
		w.pins[i] = must(IdentityHash(account))
	}
	return w
}

func (d *draws) characters(from string, n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = from[d.below(len(from))]
	}
	return string(text)
}

// nativeID is an id as a provider makes it. Few, so that they repeat.
func (d *draws) nativeID() string {
	prefix := one(d, "resp_", "msg_", "file-", "conv_", "rs_", "vs_", "batch_", "cntr_", "own_", "x_")
	hex := strings.Repeat(fmt.Sprintf("%02x", d.below(3)), 25)
	return prefix + one(d, "1", hex[:48], hex[:50], "AbCdEfGhIjKlMnOpQrSt"+hex[:2],
		"0494a322-8b14-42a0-be43-71fc2ddb9a"+hex[:2], hex[:31], hex[:47]+"A")
}

// idText is what may stand where an id does.
func (d *draws) idText(w *idWorld, owner string) string {
	native := d.nativeID()
	switch d.below(8) {
	case 0, 1:
		return native
	case 2:
		return one(d, "", "auto", "call_1", "\u00e9", "resp 1", native+strings.Repeat("x", one(d, 200, 300, 470, 600)),
			// Which have 511 to 513 bytes where 52 of their characters are escaped.
			"file-"+strings.Repeat("x", one(d, 246, 247, 248)),
			native+strings.Repeat("x", 48)+"tp7", native+strings.Repeat("A", 24)+"tp0", native+strings.Repeat("A", 50)+"tp1")
	case 3:
		sealed := must(w.before.Seal(nil, w.scope, owner, w.pins[d.below(3)], native))
		return string(sealed)
	}
	sealed := must(w.now.Seal(nil, w.scope, owner, one(d, w.pins[0], w.pins[0], w.pins[0], w.pins[1], w.pins[2]), native))
	if d.rarely() {
		sealed[d.below(len(sealed))] = 'x'
	}
	return string(sealed)
}

// content is encrypted content, mostly with a mark.
func (d *draws) content(w *idWorld, owner string) string {
	content := d.characters("ABab01+/=_-", one(d, 10, 1, 0, 38, 63, 64, 65, 200))
	if d.rarely() {
		return content + "\u00e9" + content
	}
	if content == "" || d.rarely() {
		return content
	}
	marked := string(must(w.now.Mark([]byte(content), w.scope, owner, one(d, w.pins[0], w.pins[0], w.pins[1]), content)))
	if d.rarely() {
		return "x" + marked
	}
	return marked
}

// quoted is a string of JSON, with escapes now and then.
func (d *draws) quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	escapes, all := d.byte()%4 == 3, d.rarely()
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case escapes && (all || d.byte()%4 == 3):
			fmt.Fprintf(&b, one(d, `\u%04x`, `\u%04X`), c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (d *draws) blanks() string { return one(d, "", "", "", "", " ", "\n", "\t ", "\r\n") }

func (d *draws) keyName() string {
	name := idKeys[d.below(len(idKeys))].Name
	switch d.below(8) {
	case 0:
		return one(d, "type", "status", "text", "call_id", "x", "", strings.Repeat("k", one(d, 32, 33, 200)), "store")
	case 1:
		return one(d, "input", "items", "id")
	case 2:
		return one(d, strings.ToUpper(name), strings.ToUpper(name[:1])+name[1:], name+"x", "own_key", "own_list", longestKey)
	}
	return name
}

// longestKey has 192 bytes where all of it is escaped, which is what is held of a key.
const longestKey = "own_key_that_has_32_bytes_in_all"

// ownFields are what configurations add to the table of ids.
var ownFields = IDFields{
	[]IDKey{{"own_key", KeyKindID}, {"own_list", KeyKindIDs}, {longestKey, KeyKindID}},
	[]string{"own"}, []string{"things"},
}

// elements are items of a conversation, mostly with ids.
func (d *draws) elements(w *idWorld, owner string) string {
	var all []string
	for range d.below(4) {
		var keys []string
		for range 1 + d.below(4) {
			keys = append(keys, one(d,
				`"id":`+d.quoted(d.idText(w, owner)), `"id":`+d.quoted(d.idText(w, owner)),
				`"type":"message"`, `"status":null`, `"content":"x"`,
				`"encrypted_content":`+d.quoted(d.content(w, owner)), `"Type":1`,
				`"x":{"id":`+d.quoted(d.idText(w, owner))+`}`))
		}
		all = append(all, "{"+strings.Join(keys, ",")+"}")
	}
	return "[" + strings.Join(all, ",") + "]"
}

// manyIDs are more than are remembered.
func (d *draws) manyIDs(w *idWorld, owner string) string {
	var all []string
	for range 10 + d.below(20) {
		all = append(all, d.quoted(d.idText(w, owner)))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// json draws a value of JSON.
func (d *draws) json(w *idWorld, owner string, b *strings.Builder, depth int) {
	list := func(open, end byte, element func()) {
		b.WriteByte(open)
		for i := range d.below(5) {
			if i > 0 {
				b.WriteString(d.blanks() + ",")
			}
			b.WriteString(d.blanks())
			element()
		}
		b.WriteString(d.blanks())
		b.WriteByte(end)
	}
	what := d.below(9)
	if depth == 0 {
		what %= 5
	}
	switch what {
	case 0:
		b.WriteString(one(d, "null", "true", "false", "0", "-1.5e+3", `""`))
	case 1, 2, 3:
		b.WriteString(d.quoted(d.idText(w, owner)))
	case 4:
		b.WriteString(d.quoted(one(d, d.content(w, owner), "the quick brown fox", "https://up.example/v1/files/"+d.nativeID()+"?x",
			"a\\b\"{}[]")))
	case 5, 6, 7:
		list('{', '}', func() {
			name := d.keyName()
			b.WriteString(d.quoted(name) + d.blanks() + ":" + d.blanks())
			if strings.EqualFold(name, "encrypted_content") && d.flag() {
				b.WriteString(d.quoted(d.content(w, owner)))
			} else {
				d.json(w, owner, b, depth-1)
			}
		})
	default:
		list('[', ']', func() { d.json(w, owner, b, depth-1) })
	}
}

// target is that of a request.
func (d *draws) target(w *idWorld, owner string) string {
	target := one(d, "/v1", "/v1", "", "https://up.example/v1", "https:/", "things")
	for range d.below(5) {
		text := d.idText(w, owner)
		if d.rarely() && text != "" {
			text = one(d, fmt.Sprintf("%%%02x", text[0])+text[1:], text+"%2F", "%"+text, text+"%4", "%2541"+text)
		}
		target += "/" + one(d, "responses", "files", "containers", "messages", "things", "models", "") + "/" +
			one(d, text, text, "compact", "files")
	}
	for separator := "?"; d.flag(); separator = "&" {
		target += separator + one(d, "after", "before", "run_id", "conversation", "limit", "file_ids") +
			one(d, "=", "=", "") + d.idText(w, owner)
	}
	return target + one(d, "", "", "#resp_1", "/")
}

// body is one that is read: a document, mostly right, or events.
func (d *draws) body(w *idWorld, owner string) string {
	document := func() string {
		var b strings.Builder
		if d.rarely() {
			d.json(w, owner, &b, 4)
			return b.String()
		}
		b.WriteString("{" + d.blanks())
		for range 1 + d.below(6) {
			switch d.below(12) {
			case 0, 1:
				b.WriteString(one(d, `"input":`, `"items":`, `"x":`) + d.elements(w, owner))
			case 2:
				b.WriteString(`"file_ids":` + d.manyIDs(w, owner))
			case 3:
				depth := one(d, 253, 254, 255, 256)
				b.WriteString(`"x":` + strings.Repeat("[", depth) + `{"id":"resp_1"}` +
					strings.Repeat("]", depth) + `,"id":"resp_2"`)
			case 4:
				b.WriteString(one(d, `"previous_response_id":`, `"conversation":`, `"container":`, `"encrypted_content":`) +
					d.quoted(d.idText(w, owner)))
			default:
				b.WriteString(d.quoted(d.keyName()) + ":")
				d.json(w, owner, &b, 4)
			}
			b.WriteString(",")
		}
		b.WriteString(`"store":` + one(d, "true", "false", "null") + "}")
		return b.String()
	}
	text := document()
	if d.byte()%4 == 3 {
		end := one(d, "\n", "\r\n", "\r")
		stream := one(d, "", "", "\ufeff", end, "\xef", "\xef\xbb")
		for range 1 + d.below(4) {
			stream += one(d, "", "event: x"+end, ": "+end, "id: resp_1"+end)
			data := text
			if d.rarely() {
				data = one(d, "[DONE]", "", "x", "1", "[D", "[DONE] x", "[DONEx]", "[DON]",
					"[[DONE]]", "[1,DONE]", `{"a":[D`, "1\ndata", "tr\nue")
			}
			for d.rarely() { // a line may end anywhere
				at := d.below(len(data) + 1)
				data = data[:at] + "\n" + data[at:]
			}
			for _, line := range strings.FieldsFunc(data, func(c rune) bool { return c == '\n' || c == '\r' }) {
				stream += one(d, "data: ", "data:", "data: ") + line + end
			}
			stream += end
			text = document()
		}
		text = stream
	}
	for d.byte()%8 == 7 && text != "" {
		at := d.below(len(text))
		text = text[:at] + one(d, "", "\"", "\\", "{", "]", "x", "\n", "\x00", "\xff") + text[min(len(text), at+d.below(3)):]
	}
	return text
}

// stream gives the random bytes of a seed.
func stream(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// random runs a comparison on random bytes.
func random(t *testing.T, rounds int, compare func(*draws)) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TOKENPIN_SEED"); text != "" {
		seed = must(strconv.ParseUint(text, 10, 64))
	}
	t.Logf("TOKENPIN_SEED=%d", seed)
	if runtime.GOARCH == "wasm" { // which takes ten times as long
		rounds /= 10
	}
	source, data := stream(seed), make([]byte, 16384)
	for range rounds {
		_, _ = source.Read(data)
		compare(&draws{data, t})
	}
}

// fuzz begins with random bytes, and with what earlier runs left in testdata.
func fuzz(f *testing.F, compare func(*draws)) {
	for seed := range uint64(4) {
		data := make([]byte, 2048)
		_, _ = stream(seed).Read(data)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { compare(&draws{data, t}) })
}
