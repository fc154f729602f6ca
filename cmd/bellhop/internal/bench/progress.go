package bench

import (
	"fmt"
	"io"
	"sync"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
)

// progress shows what is going on: one line that is written over on a terminal,
// a line each elsewhere.
type progress struct {
	out      io.Writer
	terminal bool

	mu sync.Mutex
}

func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = screen.OneLine(text)
	if p.terminal {
		// What is longer than a line could not be written over.
		fmt.Fprintf(p.out, "\r\x1b[K%.79s", text)
		return
	}
	fmt.Fprintln(p.out, text)
}

// clear takes the line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
