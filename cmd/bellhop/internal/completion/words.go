package completion

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Word is what may stand where the cursor is.
type Word struct {
	Text, Help string
}

// place is where the cursor is: what was typed before it means this.
type place struct {
	node  *kong.Node
	args  int               // positional arguments before the cursor
	flags map[string]string // values that were given
	value *kong.Flag        // the flag whose value is typed, if one is
	word  string            // what is typed of it
	glue  string            // what must stand before each candidate: "--state="
	plain bool              // after "--" nothing is a flag
}

// read walks the words before the cursor; the last one is being typed.
func read(model *kong.Node, words []string) place {
	words, split := joined(words)
	p := place{node: model, flags: make(map[string]string)}
	if len(words) == 0 {
		return p
	}
	p.word = words[len(words)-1]
	for i := 0; i < len(words)-1; i++ {
		word := words[i]
		switch {
		case word == "--" && !p.plain:
			p.plain = true
		case len(word) > 1 && word[0] == '-' && !p.plain:
			name, value, given := strings.Cut(word, "=")
			f := p.flag(name)
			if f == nil || f.IsBool() {
				continue
			}
			if !given {
				if i++; i == len(words)-1 {
					p.value = f
					return p
				}
				value = words[i]
			}
			p.flags[f.Name] = value
		default:
			p.descend(word)
		}
	}
	if name, value, given := strings.Cut(p.word, "="); given && strings.HasPrefix(name, "--") && !p.plain {
		if p.value = p.flag(name); p.value != nil {
			p.word = value
			if !split {
				p.glue = name + "="
			}
		}
	}
	return p
}

// joined puts together what bash splits at "=", and tells whether the last word
// was split: then only its value is replaced.
func joined(words []string) (all []string, split bool) {
	for i := 0; i < len(words); i++ {
		if words[i] == "=" && len(all) > 0 && strings.HasPrefix(all[len(all)-1], "--") {
			value := ""
			if i+1 < len(words) {
				i++
				value = words[i]
			}
			all[len(all)-1] += "=" + value
			split = i == len(words)-1
			continue
		}
		all = append(all, words[i])
	}
	return all, split
}

// descend takes a word for a command or, where there is none of that name, for
// an argument.
func (p *place) descend(word string) {
	if p.args == 0 {
		for _, child := range p.node.Children {
			if child.Name == word || slices.Contains(child.Aliases, word) {
				p.node = child
				return
			}
		}
	}
	p.args++
}

// flag finds a flag as it is typed: --name or -n.
func (p *place) flag(typed string) *kong.Flag {
	for _, group := range p.node.AllFlags(true) {
		for _, f := range group {
			if typed == "--"+f.Name || f.Short != 0 && typed == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

// kind says what the word is the name of ("job", "service", "letter", "bench"), as the tag
// "complete" of its flag or argument does; empty if of nothing.
func (p *place) kind() string {
	if p.value != nil {
		return p.value.Tag.Get("complete")
	}
	if arg := p.argument(); arg != nil {
		return arg.Tag.Get("complete")
	}
	return ""
}

// argument is the positional argument that is typed, nil if none is.
func (p *place) argument() *kong.Positional {
	args := p.node.Positional
	switch last := len(args) - 1; {
	case p.args <= last:
		return args[p.args]
	case last >= 0 && args[last].IsCumulative():
		return args[last]
	}
	return nil
}

// fixed gives the candidates that need no server: commands, flags, and the
// values of flags that have a few.
func (p *place) fixed() []Word {
	var all []Word
	add := func(text, help string) {
		if text != "" && strings.HasPrefix(text, p.word) {
			all = append(all, Word{p.glue + text, help})
		}
	}
	switch {
	case p.value != nil:
		if p.value.Enum != "" {
			for _, value := range p.value.EnumSlice() {
				add(value, "")
			}
		}
		if some := p.value.Tag.Get("suggest"); some != "" { // others may be given, too
			for value := range strings.SplitSeq(some, ",") {
				add(value, "")
			}
		}
	case strings.HasPrefix(p.word, "-") && !p.plain:
		for _, group := range p.node.AllFlags(true) {
			for _, f := range group {
				add("--"+f.Name, f.Help)
			}
		}
	case p.argument() != nil:
		for _, value := range p.argument().EnumSlice() {
			add(value, "")
		}
	case p.args == 0:
		for _, child := range p.node.Children {
			if !child.Hidden {
				add(child.Name, child.Help)
			}
		}
	}
	return all
}
