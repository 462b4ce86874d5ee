package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/tokenpin/tokenpin/go"
)

// Sealed ids: one of them, and whole bodies, beside what a gateway does that has no scanner: it
// reads the document, changes it and writes it again, or looks for the ids where it knows them to
// be. All peers seal with the same function.

const digits = "67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"

// chunk is what a proxy reads from a socket immediately.
const chunk = 16 << 10

type rewriting struct {
	ring *tokenpin.IDRing
	pin  uint64
}

func (r *rewriting) seal(dst []byte, id string) []byte {
	return must(r.ring.Seal(dst, "", "", r.pin, id))
}

// An answer of 1.5 MB with a line break now and then.
func longText() string {
	line := "The quick brown fox jumps over the lazy dog, and then some more words. "
	text := strings.Repeat(line+`\n`+line+line+line, 5000)
	return `{"id":"resp_` + digits + `","output":[{"id":"msg_` + digits +
		`","content":[{"type":"output_text","text":"` + text + `"}]}]}`
}

// A stream of deltas of a word each.
func deltas() string {
	var stream strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&stream, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","+
			"\"sequence_number\":%d,\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"delta\":\" word%d\","+
			"\"logprobs\":[],\"obfuscation\":\"aZ3kd9\"}\n\n", i, digits, i)
	}
	return stream.String()
}

// A page of 5000 files, each with its own id.
func list() string {
	var files []string
	for i := range 5000 {
		files = append(files, fmt.Sprintf(`{"id":"file-%022d","object":"file","bytes":120000,"created_at":1677610602,`+
			`"filename":"data.jsonl","purpose":"fine-tune"}`, i))
	}
	return `{"object":"list","data":[` + strings.Join(files, ",") + `],"has_more":false}`
}

// sealAll seals the strings under keys that hold ids.
func (r *rewriting) sealAll(value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if id, ok := inner.(string); ok && (key == "id" || key == "item_id") {
				value[key] = string(r.seal(nil, id))
			} else {
				r.sealAll(inner)
			}
		}
	case []any:
		for _, inner := range value {
			r.sealAll(inner)
		}
	}
}

// eachDocument gives the documents of a body to rewrite, and appends what comes of them, and
// everything else.
func eachDocument(dst, body []byte, events bool, rewrite func(dst, document []byte) []byte) []byte {
	if !events {
		return rewrite(dst, body)
	}
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			dst = append(dst, "data: "...)
			dst = append(rewrite(dst, bytes.TrimSuffix(data, []byte("\n"))), '\n')
		} else {
			dst = append(dst, line...)
		}
	}
	return dst
}

func (r *rewriting) throughJSON(dst, document []byte) []byte {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		panic(err)
	}
	r.sealAll(value)
	return append(dst, must(json.Marshal(value))...)
}

// throughPaths looks where ids are in these three bodies.
func (r *rewriting) throughPaths(dst, document []byte) []byte {
	set := func(document []byte, path string) []byte {
		if id := gjson.GetBytes(document, path); id.Exists() {
			return must(sjson.SetBytes(document, path, r.seal(nil, id.String())))
		}
		return document
	}
	if data := gjson.GetBytes(document, "data"); data.Exists() {
		dst = append(dst, document[:data.Index]...)
		separator := byte('[')
		data.ForEach(func(_, file gjson.Result) bool {
			dst = append(append(dst, separator), set([]byte(file.Raw), "id")...)
			separator = ','
			return true
		})
		return append(append(dst, ']'), document[data.Index+len(data.Raw):]...)
	}
	for _, path := range []string{"id", "item_id", "output.0.id"} {
		document = set(document, path)
	}
	return append(dst, document...)
}

func BenchmarkID(b *testing.B) {
	r := rewriting{must(tokenpin.NewIDRing(config(1).CookieKeys, nil)), 1}
	for kind, id := range map[string]string{"packed": "resp_" + digits, "text": "file-AbCdEfGhIjKlMnOpQrStUv"} {
		buffer := make([]byte, 0, 300)
		b.Run("seal-"+kind+"/tokenpin-"+tokenpin.Backend, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.seal(buffer, id)
			}
		})
		sealed := string(r.seal(nil, id))
		b.Run("open-"+kind+"/tokenpin-"+tokenpin.Backend, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, opened, err := r.ring.Open(buffer, "", "", sealed); err != nil || opened.Pin != r.pin {
					b.Fatal(opened, err)
				}
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	c := config(1)
	c.IDs.Mode = tokenpin.ModeSeal
	a := must(tokenpin.New(c))
	_, pin, err := a.GetSlot(0)
	if err != nil {
		b.Fatal(err)
	}
	r := rewriting{must(tokenpin.NewIDRing(c.CookieKeys, nil)), pin}
	for _, body := range []struct {
		name, text string
		framing    tokenpin.Framing
	}{
		{"text", longText(), tokenpin.FramingJSON},
		{"deltas", deltas(), tokenpin.FramingEvents},
		{"list", list(), tokenpin.FramingJSON},
	} {
		text, events := []byte(body.text), body.framing == tokenpin.FramingEvents
		out := bytes.NewBuffer(make([]byte, 0, 2*len(text)))
		run := func(who string, rewrite func()) {
			b.Run(body.name+"/"+who, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					out.Reset()
					rewrite()
				}
			})
		}
		use := &tokenpin.IDUse{IDs: tokenpin.IDsItems}
		run("tokenpin-"+tokenpin.Backend, func() {
			w := must(a.NewSealWriter(use, nil, 0, body.framing, out))
			for at := 0; at < len(text); at += chunk {
				must(w.Write(text[at:min(len(text), at+chunk)]))
			}
			if err := w.Close(); err != nil || w.Changed() == 0 {
				b.Fatal(w.Changed(), err)
			}
		})
		through := func(rewrite func(dst, document []byte) []byte) func() {
			return func() { out.Write(eachDocument(out.AvailableBuffer(), text, events, rewrite)) }
		}
		run("encoding-json", through(r.throughJSON))
		run("gjson-sjson", through(r.throughPaths))
		run("copy", func() { out.Write(text) })
	}
}
