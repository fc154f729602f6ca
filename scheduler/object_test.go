package scheduler

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// checkObject holds parseObject against encoding/json.
func checkObject(t rapid.TB, data []byte) {
	t.Helper()
	o, err := parseObject(data)
	var want map[string]json.RawMessage
	wrong := json.Unmarshal(data, &want)
	if err != nil {
		if Code(err) != 400 {
			t.Fatalf("%q: %v is not a 400", data, err)
		}
		if wrong == nil && want != nil && utf8.Valid(data) && depth(data) <= maxDepth && !strings.Contains(err.Error(), "named twice") {
			t.Fatalf("%q is refused: %v", data, err)
		}
		return
	}
	if wrong != nil {
		t.Fatalf("%q is accepted; encoding/json: %v", data, wrong)
	}
	if len(o) != len(want) {
		t.Fatalf("%q: %d fields, want %d", data, len(o), len(want))
	}
	for _, f := range o {
		if !bytes.Equal(f.value, want[f.name]) {
			t.Fatalf("%q: field %q is %q, want %q", data, f.name, f.value, want[f.name])
		}
		if !bytes.Equal(data[f.at:f.at+len(f.value)], f.value) {
			t.Fatalf("%q: field %q is not at %d", data, f.name, f.at)
		}
	}
	again, err := parseObject(o.bytes())
	if err != nil {
		t.Fatalf("%q written as %q: %v", data, o.bytes(), err)
	}
	if len(again) != len(o) {
		t.Fatalf("%q written as %q", data, o.bytes())
	}
	for i := range again {
		if again[i].name != o[i].name || !bytes.Equal(again[i].value, o[i].value) {
			t.Fatalf("%q: field %d is %q: %q, was %q: %q", data, i, again[i].name, again[i].value, o[i].name, o[i].value)
		}
	}
}

func TestParseObject(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, "\t{\n\"a\" \r: [1 , {\"b\":\"]}\"}] ,\"c\":\"\\\"\"}\n", `{"\u0061":"\ud800"}`, `{"a":-1.5e+3,"b":null,"c":true,"d":""}`, `{"":1}`,
		"{\"a\":\"\u2028<>&\"}", `{"a":{"a":{"a":{}}},"b":[[[]]]}`, `{"a":"\\","b":"\\\""}`,
		``, ` `, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`, `[]`, `1`, `null`, `"x"`, `{"a":1}}`, `{"a":"`, `{"a":"\`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", "{\"a\":\"\x00\"}",
	} {
		checkObject(t, []byte(text))
	}
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		space := rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r"})
		var draw func(depth int)
		draw = func(depth int) {
			kind := rapid.IntRange(0, 6).Draw(t, "kind")
			if depth > 3 {
				kind %= 4
			}
			b.WriteString(space.Draw(t, "space"))
			switch kind {
			case 0:
				b.WriteString(rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word"))
			case 1:
				b.WriteString(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
			case 2, 3:
				writeText(&b, rapid.String().Draw(t, "text"), rapid.Bool().Draw(t, "escaped"))
			case 4, 5:
				n := rapid.IntRange(0, 3).Draw(t, "n")
				b.WriteByte('[')
				for i := range n {
					if i > 0 {
						b.WriteByte(',')
					}
					draw(depth + 1)
				}
				b.WriteString(space.Draw(t, "space") + "]")
			case 6:
				drawObject(t, &b, space, func() { draw(depth + 1) })
			}
			b.WriteString(space.Draw(t, "space"))
		}
		drawObject(t, &b, space, func() { draw(0) })
		checkObject(t, b.Bytes())
		cut := rapid.IntRange(0, b.Len()).Draw(t, "cut")
		checkObject(t, b.Bytes()[:cut])
	})
}

func writeText(b *bytes.Buffer, s string, escaped bool) {
	if escaped {
		enc := json.NewEncoder(b)
		_ = enc.Encode(s)
		b.Truncate(b.Len() - 1)
		return
	}
	b.Write(appendText(nil, s))
}

func drawObject(t *rapid.T, b *bytes.Buffer, space *rapid.Generator[string], value func()) {
	b.WriteByte('{')
	for i := range rapid.IntRange(0, 4).Draw(t, "fields") {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(space.Draw(t, "space"))
		writeText(b, rapid.SampledFrom([]string{"a", "b", "c", "", "é", "\"", "a\\", "\u2028"}).Draw(t, "name"), rapid.Bool().Draw(t, "escaped"))
		b.WriteString(space.Draw(t, "space") + ":")
		value()
	}
	b.WriteByte('}')
}

// Setting fields is what it is on a map, in the order in which they stand.
func TestObjectSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o object
		m, order := map[string]string{}, []string(nil)
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "name")
			before := o.bytes()
			var next object
			if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
				next = o.set(name, nil)
				delete(m, name)
				order = slices.DeleteFunc(order, func(n string) bool { return n == name })
			} else {
				v := rapid.SampledFrom([]string{"1", `"x"`, "null", "[]"}).Draw(t, "value")
				next = o.set(name, []byte(v))
				if _, ok := m[name]; !ok {
					order = append(order, name)
				}
				m[name] = v
			}
			if !bytes.Equal(o.bytes(), before) {
				t.Fatalf("set changed what it was called on: %s, was %s", o.bytes(), before)
			}
			o = next
		}
		var got []string
		have := map[string]string{}
		for _, f := range o {
			got = append(got, f.name)
			have[f.name] = string(f.value)
		}
		if !slices.Equal(got, order) || !maps.Equal(have, m) {
			t.Fatalf("got %v %v, want %v %v", got, have, order, m)
		}
	})
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{{``, 0}, {`{}`, 1}, {`[{}]`, 2}, {`["[[[["]`, 1}, {`["\"[[[["]`, 1}, {`[[]][[]]`, 2}, {`"`, 0}, {`"\`, 0}, {`]]]`, 0}} {
		if got := depth([]byte(c.text)); got != c.want {
			t.Errorf("%s: %d, want %d", c.text, got, c.want)
		}
	}
	deep := []byte(`{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`)
	if _, err := parseObject(deep); err != nil {
		t.Error(err)
	}
	if _, err := parseObject(append([]byte(`{"b":[],"a":[`), append(deep, "]}"...)...)); Code(err) != 400 {
		t.Errorf("deeper: %v", err)
	}
}

// Text and back is the text, and JSON that encoding/json reads alike.
func TestText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		var std string
		if err := json.Unmarshal(Text(s), &std); err != nil || std != s {
			t.Fatalf("%q is written as %s: %q, %v", s, Text(s), std, err)
		}
		if got, err := text(Text(s)); err != nil || got != s {
			t.Fatalf("%q is read as %q: %v", s, got, err)
		}
		j := Job{Payload: Text(s)}
		if b, err := j.Bytes(); err != nil || string(b) != s {
			t.Fatalf("%q is delivered as %q: %v", s, b, err)
		}
	})
	if diff := cmp.Diff(`"plain"`, string(Text("plain"))); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[{"c":"\"]}"}]}`, `{"a":"\ud800","":null}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `{"a":`, strings.Repeat("[", 2000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkObject(t, data) })
}
