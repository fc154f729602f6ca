package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ToYAML writes a JSON value as YAML, its fields in the order that they have.
func ToYAML(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	node, err := readNode(d)
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(node), e.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

func readNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	scalar := func(tag, value string) (*yaml.Node, error) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}, nil
	}
	switch v := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v == '{' {
			n.Kind = yaml.MappingNode
		}
		for d.More() { // a mapping's names are tokens like any other
			part, err := readNode(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, part)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err = d.Token() // its end
		return n, err
	case string:
		return scalar("!!str", v)
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return scalar("!!float", v.String())
		}
		return scalar("!!int", v.String())
	case bool:
		return scalar("!!bool", fmt.Sprint(v))
	}
	return scalar("!!null", "null")
}

// A text of n bytes may grow to roomFor(n) of JSON: eight times as many are enough
// for anything that is written out (quoted and escaped, a byte takes six), and the
// rest is for what its aliases repeat.
func roomFor(n int) int { return 8*n + 1<<20 }

// FromYAML gives the documents of a YAML text as JSON. Dates stay the texts
// that they are.
func FromYAML(data []byte) ([]json.RawMessage, error) {
	var all []json.RawMessage
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read YAML: %w", err)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue // nothing between two ---
		}
		b, err := expansion{roomFor(len(data))}.appendNode(nil, doc.Content[0], 0)
		if err != nil {
			return nil, fmt.Errorf("read YAML: %w", err)
		}
		all = append(all, b)
	}
}

// expansion writes nodes as JSON, with what their aliases repeat, up to a bound.
type expansion struct{ limit int }

func (e expansion) appendNode(b []byte, n *yaml.Node, depth int) ([]byte, error) {
	const deepest = 200 // also where an alias holds itself
	if len(b) > e.limit || depth > deepest {
		return nil, fmt.Errorf("line %d: too large or nested too deeply", n.Line)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return e.appendNode(b, n.Alias, depth+1)
	case yaml.SequenceNode, yaml.MappingNode:
		return e.appendParts(b, n, depth)
	}
	var v any = n.Value
	switch n.ShortTag() {
	case "!!bool", "!!null", "!!int", "!!float":
		if number := json.Number(n.Value); n.ShortTag() != "!!null" && json.Valid([]byte(n.Value)) {
			return append(b, number...), nil
		}
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
	case "!!binary":
		return nil, fmt.Errorf("line %d: a JSON text holds no binary values: use payload_base64", n.Line)
	}
	j, err := json.Marshal(v)
	return append(b, j...), err
}

func (e expansion) appendParts(b []byte, n *yaml.Node, depth int) ([]byte, error) {
	if n.Kind == yaml.SequenceNode {
		b = append(b, '[')
		for i, item := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = e.appendNode(b, item, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	b = append(b, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.ShortTag() == "!!merge" {
			return nil, fmt.Errorf("line %d: merge keys are not supported", name.Line)
		}
		if i > 0 {
			b = append(b, ',')
		}
		j, err := json.Marshal(name.Value) // 1: and true: are names, too
		if err != nil {
			return nil, err
		}
		if b, err = e.appendNode(append(append(b, j...), ':'), value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
