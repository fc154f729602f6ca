package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Progress shows how far something has come, in one line that is written over. A
// writer that is no terminal is shown nothing.
type Progress struct {
	out io.Writer // nil if nothing is shown
	of  int
}

// NewProgress shows on w how many of so many are done.
func NewProgress(w io.Writer, of int) *Progress {
	p := &Progress{of: of}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.out = w
		}
	}
	return p
}

// barWidth is how many characters the bar has.
const barWidth = 30

// Show says that n are done.
func (p *Progress) Show(n int) {
	if p.out == nil || p.of == 0 {
		return
	}
	full := barWidth * n / p.of
	fmt.Fprintf(p.out, "\r[%s%s] %d of %d\x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), n, p.of)
}

// Clear takes the line away.
func (p *Progress) Clear() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
