package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
)

// report is all that a run prints, in JSON.
type report struct {
	Machine Machine `json:"machine"`
	Full    bool    `json:"full"`
	Rows    []Row   `json:"rows"`
}

// print prints what has been measured.
func (r *runner) print(w io.Writer) error {
	m := machine(r.began)
	if r.command.Output == output.JSON {
		return json.NewEncoder(w).Encode(report{Machine: m, Full: r.command.Full, Rows: append([]Row{}, r.rows...)})
	}
	fmt.Fprintf(w, "%s\n\n", m)
	p := output.New(w, output.Table, rowKind)
	for _, row := range r.rows {
		if err := p.Print(row); err != nil {
			return err
		}
	}
	return p.Close()
}

// rowKind is how rows are printed.
var rowKind = output.Kind[Row]{Columns: []output.Column[Row]{
	{Title: "BENCH", Text: func(r Row) string { return r.Bench }},
	{Title: "CASE", Text: func(r Row) string { return r.Case }},
	{Title: "MODE", Text: func(r Row) string { return r.Mode }},
	{Title: "BELLHOP", Text: func(r Row) string { return r.Bellhop.text(r.Unit) }},
	{Title: "RAW", Text: func(r Row) string { return r.Raw.text(r.Unit) }},
	{Title: "RATIO", Text: func(r Row) string {
		if r.Ratio == 0 {
			return "-"
		}
		return strconv.FormatFloat(r.Ratio, 'f', 2, 64)
	}},
	{Title: "AIM", Text: func(r Row) string { return dash(r.Aim) }},
	{Title: "MET", Text: func(r Row) string {
		switch {
		case r.Met == nil:
			return "-"
		case *r.Met:
			return "yes"
		}
		return "NO"
	}},
	{Title: "RUNS", Text: func(r Row) string { return strconv.Itoa(r.Runs) }},
	{Title: "", Text: func(r Row) string { return r.Note }},
}}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// text writes a figure with its unit: percentiles where it has them, p50/p99/max.
func (f Figure) text(unit string) string {
	switch {
	case f == (Figure{}):
		return "-"
	case f.Max > 0:
		return fmt.Sprintf("%s / %s / %s %s", digits(f.P50), digits(f.P99), digits(f.Max), unit)
	}
	return digits(f.Value) + " " + unit
}

// digits writes a number with three of them at least.
func digits(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// list prints what there is to measure.
func list(w io.Writer) error {
	p := output.New(w, output.Table, output.Kind[Bench]{Columns: []output.Column[Bench]{
		{Title: "NAME", Text: func(b Bench) string { return b.Name }},
		{Title: "QUICK", Text: func(b Bench) string { return b.Quick.String() }},
		{Title: "FULL", Text: func(b Bench) string { return b.Full.String() }},
		{Title: "WHAT", Text: func(b Bench) string { return b.About }},
	}})
	for _, b := range All() {
		if err := p.Print(b); err != nil {
			return err
		}
	}
	return p.Close()
}
