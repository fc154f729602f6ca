package yamlfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Entry is a name and its value in a mapping, with what a message about it needs.
type Entry struct {
	// Of is what it belongs to, with dots between; empty at the top.
	Of    string
	Name  string
	Key   *yaml.Node
	Value *yaml.Node
}

// Path is the entry's name with what it belongs to.
func (e Entry) Path() string {
	if e.Of == "" {
		return e.Name
	}
	return e.Of + "." + e.Name
}

// Refuse makes an error that tells line and field, and what to do. A value is
// shown only where one is given, for it may be a secret.
func (e Entry) Refuse(value, want string) error {
	field := e.Path()
	if value != "" {
		field += fmt.Sprintf(": %.60q", value)
	}
	return fmt.Errorf("line %d: %s: %s", e.Key.Line, field, want)
}

// Entries gives what a mapping holds, in its order; no name may be there twice.
// where and want are for messages: what it is, and what is to be written there.
func Entries(n *yaml.Node, where, want string) ([]Entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: %s: write %s", n.Line, where, want)
	}
	var all []Entry
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
		all = append(all, Entry{Name: key.Value, Key: n.Content[i], Value: resolve(n.Content[i+1])})
	}
	return all, nil
}

// Entries gives what the entry's own value holds.
func (e Entry) Entries(want string) ([]Entry, error) {
	all, err := Entries(e.Value, e.Path(), want)
	for i := range all {
		all[i].Of = e.Path()
	}
	return all, err
}

// Items gives what the entry's list holds: each is a mapping like the entry itself.
func (e Entry) Items(want string) ([]Entry, error) {
	if e.Value.Kind != yaml.SequenceNode || len(e.Value.Content) == 0 {
		return nil, e.Refuse("", "write "+want)
	}
	var all []Entry
	for i, n := range e.Value.Content {
		all = append(all, Entry{Of: e.Of, Name: fmt.Sprintf("%s[%d]", e.Name, i), Key: n, Value: resolve(n)})
	}
	return all, nil
}

// Text is a scalar as it is written, number or not.
func (e Entry) Text() (string, error) {
	if e.Value.Kind != yaml.ScalarNode || isNull(e.Value) || e.Value.Value == "" {
		return "", e.Refuse("", "write a text after the colon")
	}
	return e.Value.Value, nil
}

// maxLine bounds Line, in bytes.
const maxLine = 1 << 10

// Line is a short text on one line.
func (e Entry) Line() (string, error) {
	text, err := e.Text()
	if err != nil {
		return "", err
	}
	if len(text) > maxLine || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", e.Refuse("", fmt.Sprintf("use one line of at most %d bytes", maxLine))
	}
	return text, nil
}

// List is a sequence of texts; want is what to write there.
func (e Entry) List(want string) ([]string, error) {
	if e.Value.Kind != yaml.SequenceNode || len(e.Value.Content) == 0 {
		return nil, e.Refuse("", want)
	}
	var all []string
	for _, n := range e.Value.Content {
		item := resolve(n)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return nil, fmt.Errorf("line %d: %s: %s", n.Line, e.Path(), want)
		}
		all = append(all, item.Value)
	}
	return all, nil
}

// Pairs gives each name and its value, which may be empty.
func (e Entry) Pairs(each func(name, value string) error) error {
	all, err := e.Entries("names and values below it, such as LANG: C")
	if err != nil {
		return err
	}
	for _, pair := range all {
		if pair.Value.Kind != yaml.ScalarNode || isNull(pair.Value) {
			return pair.Refuse("", `write a text after the colon, "" for an empty one`)
		}
		if err := each(pair.Name, pair.Value.Value); err != nil {
			return pair.Refuse("", err.Error())
		}
	}
	return nil
}

// Duration is a field's value, from 1 ms to longest.
func (e Entry) Duration(longest time.Duration) (time.Duration, error) {
	text, err := e.Text()
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond || d > longest {
		most := fmt.Sprintf("%dh", int(longest.Hours()))
		if longest < time.Hour {
			most = fmt.Sprintf("%dm", int(longest.Minutes()))
		}
		return 0, e.Refuse(text, fmt.Sprintf("use a duration from 1ms to %s, such as 30s, 5m or 1h30m", most))
	}
	return d, nil
}

// Number is a field's value, from least to most.
func (e Entry) Number(least, most int) (int, error) {
	text, err := e.Text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, e.Refuse(text, fmt.Sprintf("use a whole number from %d to %d", least, most))
	}
	return n, nil
}

// Bool is true or false.
func (e Entry) Bool() (bool, error) {
	switch e.Value.Value {
	case "true", "false":
		return e.Value.Value == "true", nil
	}
	return false, e.Refuse("", "write true or false")
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
