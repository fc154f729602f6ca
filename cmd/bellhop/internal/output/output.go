// Package output prints objects as people and programs want them: a table that
// is streamed, JSON and YAML, one object after the other, or names alone.
package output

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// The formats.
const (
	Table = "table"
	Wide  = "wide"
	JSON  = "json"
	YAML  = "yaml"
	Name  = "name"
)

// Flag chooses the format.
type Flag struct {
	Output string `short:"o" enum:"table,wide,json,yaml,name" default:"table" help:"table, wide (more columns), json (one object per line), yaml or name."`
}

// Kind says how objects of one kind are printed.
type Kind[T any] struct {
	Columns []Column[T]
	// Name is what other commands take to mean the object.
	Name func(T) string
	// JSON gives one JSON object, in one line.
	JSON func(T) ([]byte, error)
	// Plain is JSON for YAML where it is to differ; nil means JSON.
	Plain func(T) ([]byte, error)
}

// Column is one column of a table.
type Column[T any] struct {
	Title string
	// Wide columns are for the format Wide alone.
	Wide bool
	Text func(T) string
}

// Printer prints objects as they come.
type Printer[T any] struct {
	kind   Kind[T]
	format string
	out    *bufio.Writer
	table  *table
	yaml   int // documents so far
}

// New prints on w. Close the printer at the end.
func New[T any](w io.Writer, format string, kind Kind[T]) *Printer[T] {
	p := &Printer[T]{kind: kind, format: format, out: bufio.NewWriterSize(w, 64<<10)}
	if format == Table || format == Wide {
		var titles []string
		for _, c := range p.columns() {
			titles = append(titles, c.Title)
		}
		p.table = newTable(p.out, titles)
	}
	return p
}

func (p *Printer[T]) columns() []Column[T] {
	var shown []Column[T]
	for _, c := range p.kind.Columns {
		if !c.Wide || p.format == Wide {
			shown = append(shown, c)
		}
	}
	return shown
}

// Print prints one object. It may wait for others before it is seen: see Flush.
func (p *Printer[T]) Print(v T) error {
	switch p.format {
	case JSON:
		return p.json(v)
	case YAML:
		return p.asYAML(v)
	case Name:
		_, err := fmt.Fprintln(p.out, p.kind.Name(v))
		return err
	}
	var row []string
	for _, c := range p.columns() {
		row = append(row, c.Text(v))
	}
	return p.table.add(row)
}

func (p *Printer[T]) json(v T) error {
	b, err := p.kind.JSON(v)
	if err != nil {
		return err
	}
	// What was put by hand may hold line breaks between its tokens, where they
	// mean nothing; within a string JSON allows none.
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), []byte(" ")), []byte("\n"), []byte(" "))
	_, err = p.out.Write(append(b, '\n'))
	return err
}

func (p *Printer[T]) asYAML(v T) error {
	encode := p.kind.Plain
	if encode == nil {
		encode = p.kind.JSON
	}
	b, err := encode(v)
	if err != nil {
		return err
	}
	if b, err = ToYAML(b); err != nil {
		return err
	}
	if p.yaml++; p.yaml > 1 {
		fmt.Fprintln(p.out, "---")
	}
	_, err = p.out.Write(b)
	return err
}

// Flush shows what was printed so far, for those who watch.
func (p *Printer[T]) Flush() error {
	if p.table != nil {
		if err := p.table.settle(); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// Close shows the rest.
func (p *Printer[T]) Close() error { return p.Flush() }
