package output

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type pair struct{ name, value string }

var pairs = Kind[pair]{
	Columns: []Column[pair]{
		{Title: "NAME", Text: func(p pair) string { return p.name }},
		{Title: "MORE", Wide: true, Text: func(p pair) string { return "more" }},
		{Title: "VALUE", Text: func(p pair) string { return p.value }},
	},
	Name: func(p pair) string { return p.name },
	JSON: func(p pair) ([]byte, error) {
		return []byte(`{"name": "` + p.name + `",` + "\n" + `"value":"` + p.value + `"}`), nil
	},
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		Table: "NAME   VALUE\na      one\nčíslo  two\n",
		Wide:  "NAME   MORE  VALUE\na      more  one\nčíslo  more  two\n",
		JSON:  `{"name": "a", "value":"one"}` + "\n" + `{"name": "číslo", "value":"two"}` + "\n",
		YAML:  "name: a\nvalue: one\n---\nname: číslo\nvalue: two\n",
		Name:  "a\nčíslo\n",
	} {
		var b strings.Builder
		p := New(&b, format, pairs)
		for _, v := range []pair{{"a", "one"}, {"číslo", "two"}} {
			if err := p.Print(v); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

// TestTableStreams sees the widths settle, and rows come out before the end.
func TestTableStreams(t *testing.T) {
	var b strings.Builder
	p := New(&b, Table, pairs)
	if err := p.Flush(); err != nil || b.Len() > 0 {
		t.Fatalf("an empty table shows %q, %v", b.String(), err)
	}
	for i := range 100_000 {
		if err := p.Print(pair{fmt.Sprintf("name %d", i), "moves\x1b[2J\nthe cursor"}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() == 0 {
		t.Error("it keeps all rows to itself")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 100_001 || lines[0] != "NAME      VALUE" || lines[1] != "name 0    moves\ufffd[2J the cursor" || lines[100_000] != "name 99999  moves\ufffd[2J the cursor" {
		t.Errorf("%d lines: %q, %q … %q", len(lines), lines[0], lines[1], lines[len(lines)-1])
	}
}

func TestYAML(t *testing.T) {
	for _, doc := range []string{
		`{"b":1,"a":[true,false,null,1.5,-2e10,{}],"c":{"d":[]}}`,
		`{"text":"true","date":"2026-12-07T09:00:00Z","number":"1.0","nothing":"null","empty":"","yes":"yes","lines":"a\nb\n","quote":"\"'\\","emoji":"😀\u0007","colon":"a: b","hash":"a #b"}`,
		`{"1":"one","true":"yes","a b":"c: d"}`,
	} {
		y, err := ToYAML([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		back, err := FromYAML(y)
		if err != nil || len(back) != 1 {
			t.Fatalf("%s: %v\n%s", doc, err, y)
		}
		var want, got any
		if err := json.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(back[0], &got); err != nil {
			t.Fatalf("%s: %v", back[0], err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", y, diff)
		}
	}
}

func TestYAMLRefused(t *testing.T) {
	bomb := "a0: &a0 {x: y}\n"
	for i := range 40 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for name, text := range map[string]string{
		"a small bomb":     strings.Join(strings.Split(bomb, "\n")[:20], "\n"), // 5 MiB
		"broken":           "a: [1",
		"a bomb":           bomb,
		"an alias in self": "a: &x\n  b: *x\n",
		"a merge":          "a: &x {b: c}\nd: {<<: *x}\n",
		"bytes":            "a: !!binary aGVsbG8=\n",
		"not a number":     "a: .nan\n",
	} {
		if docs, err := FromYAML([]byte(text)); err == nil {
			t.Errorf("%s is taken: %.80s", name, docs)
		}
	}
	for name, text := range map[string]string{
		"what aliases repeat": strings.Join(strings.Split(bomb, "\n")[:15], "\n"),  // 0.4 MiB
		"what is escaped":     "a: \"" + strings.Repeat("<", 2<<20) + "\"\nb: 1\n", // to six bytes each
	} {
		if _, err := FromYAML([]byte(text)); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	if docs, err := FromYAML([]byte("---\n# nothing\n---\n")); err != nil || len(docs) != 0 {
		t.Error(docs, err)
	}
}

func FuzzFromYAML(f *testing.F) {
	f.Add([]byte("a: {b: [1, .5, 0x10, 1e3, ~, 2026-12-07]}"))
	f.Add([]byte("- &x a\n- *x\n---\nb: |\n  c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := FromYAML(data)
		if err != nil {
			return
		}
		for _, doc := range docs {
			if !json.Valid(doc) {
				t.Errorf("%q gives %q", data, doc)
			}
		}
	})
}
