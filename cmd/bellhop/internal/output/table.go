package output

import (
	"bufio"
	"strings"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
)

// settleAfter is how many rows are waited for to see how wide the columns must
// be; what comes later and is wider pushes its row to the right.
const settleAfter = 200

// table writes rows in columns without keeping them all.
type table struct {
	out    *bufio.Writer
	rows   [][]string // the titles first, until the widths are settled
	widths []int      // nil until then
}

func newTable(out *bufio.Writer, titles []string) *table {
	return &table{out: out, rows: [][]string{titles}}
}

func (t *table) add(row []string) error {
	for i := range row {
		row[i] = screen.OneLine(row[i])
	}
	if t.widths != nil {
		return t.write(row)
	}
	if t.rows = append(t.rows, row); len(t.rows) > settleAfter {
		return t.settle()
	}
	return nil
}

// settle fixes the widths and writes what has waited for them. Titles without
// a row are not shown.
func (t *table) settle() error {
	if t.widths != nil || len(t.rows) < 2 {
		return nil
	}
	t.widths = make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *table) write(row []string) error {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", 2+max(0, t.widths[i]-utf8.RuneCountInString(cell))))
		}
	}
	_, err := t.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	return err
}
