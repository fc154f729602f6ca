package config

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// Table writes every variable with its default and what it is, for -h.
func Table(w io.Writer) error {
	fmt.Fprintln(w, "Configuration comes from the environment alone:")
	fmt.Fprintln(w)
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if err := render(tabs, "{{range .}}{{.Key}}\t{{shown .Tags}}\t{{.Tags.Get \"desc\"}}\n{{end}}"); err != nil {
		return err
	}
	return tabs.Flush()
}

// variables gives the names of all variables, in the order of the table.
func variables() []string {
	var b strings.Builder
	if err := render(&b, "{{range .}}{{.Key}} {{end}}"); err != nil {
		panic(err) // Config or the template is broken: no input can do that
	}
	return strings.Fields(b.String())
}

func render(w io.Writer, text string) error {
	// A default that differs from binary to binary is told by the tag "unset".
	shown := func(tags reflect.StructTag) string { return cmp.Or(tags.Get("default"), tags.Get("unset")) }
	t, err := template.New("table").Funcs(template.FuncMap{"shown": shown}).Parse(text)
	if err != nil {
		return err
	}
	return envconfig.Usaget(Prefix, &Config{}, w, t)
}
