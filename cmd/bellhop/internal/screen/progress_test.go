package screen

import (
	"bytes"
	"os"
	"testing"
)

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := &Progress{out: &b, of: 3}
	p.Show(1)
	p.Show(3)
	p.Clear()
	want := "\r[##########....................] 1 of 3\x1b[K" + "\r[##############################] 3 of 3\x1b[K" + "\r\x1b[K"
	if b.String() != want {
		t.Errorf("shows %q, want %q", b.String(), want)
	}
}

func TestProgressWithoutTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := NewProgress(file, 3)
	p.Show(1)
	p.Clear()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file is shown %d bytes, %v", info.Size(), err)
	}
	NewProgress(new(bytes.Buffer), 0).Show(0)
}
