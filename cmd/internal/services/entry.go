package services

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// entry is a name and its value in a YAML mapping, with what a message about it
// needs.
type entry struct {
	service string // that it belongs to, "" for a service itself
	name    string
	key     *yaml.Node
	value   *yaml.Node
}

// refuse makes an error that tells line and field, and what to do. A value is
// shown only where one is given, for it may be a secret.
func (e entry) refuse(value, want string) error {
	field := e.name
	if e.service != "" {
		field = e.service + "." + e.name
	}
	if value != "" {
		field += fmt.Sprintf(": %.60q", value)
	}
	return fmt.Errorf("line %d: %s: %s", e.key.Line, field, want)
}

// entries gives what a mapping holds, in its order; no name may be there twice.
func entries(n *yaml.Node, where, want string) ([]entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: %s: write %s", n.Line, where, want)
	}
	var all []entry
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if key.Kind != yaml.ScalarNode || isNull(key) {
			return nil, fmt.Errorf("line %d: %s: a name is missing before the colon", n.Content[i].Line, where)
		}
		if line := seen[key.Value]; line != 0 {
			return nil, fmt.Errorf("line %d: %s: it is there already, in line %d: keep one of the two", key.Line, key.Value, line)
		}
		seen[key.Value] = key.Line
		all = append(all, entry{name: key.Value, key: n.Content[i], value: resolve(n.Content[i+1])})
	}
	return all, nil
}

// text is a scalar as it is written, number or not.
func (e entry) text() (string, error) {
	if e.value.Kind != yaml.ScalarNode || isNull(e.value) || e.value.Value == "" {
		return "", e.refuse("", "write a text after the colon")
	}
	return e.value.Value, nil
}

// list is a sequence of texts.
func (e entry) list() ([]string, error) {
	const want = "write a list, the program and its arguments, such as [tar, -cf, out.tar]; for a line of shell use shell"
	if e.value.Kind != yaml.SequenceNode || len(e.value.Content) == 0 {
		return nil, e.refuse("", want)
	}
	var all []string
	for _, n := range e.value.Content {
		item := resolve(n)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return nil, fmt.Errorf("line %d: %s.%s: %s", n.Line, e.service, e.name, want)
		}
		all = append(all, item.Value)
	}
	return all, nil
}

// pairs gives each name and its value, which may be empty.
func (e entry) pairs(each func(name, value string) error) error {
	all, err := entries(e.value, e.service+"."+e.name, "names and values below it, such as LANG: C")
	if err != nil {
		return err
	}
	for _, pair := range all {
		pair.service = e.service + "." + e.name
		if pair.value.Kind != yaml.ScalarNode || isNull(pair.value) {
			return pair.refuse("", `write a text after the colon, "" for an empty one`)
		}
		if err := each(pair.name, pair.value.Value); err != nil {
			return pair.refuse("", err.Error())
		}
	}
	return nil
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
