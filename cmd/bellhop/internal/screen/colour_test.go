package screen

import (
	"bytes"
	"os"
	"testing"
)

func TestColourful(t *testing.T) {
	terminal, err := os.Open(os.DevNull) // a character device, like a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	t.Setenv("NO_COLOR", "")
	if !Colourful(terminal) {
		t.Error("no colours on a device")
	}
	t.Setenv("NO_COLOR", "1")
	if Colourful(terminal) {
		t.Error("colours in spite of NO_COLOR")
	}
	t.Setenv("NO_COLOR", "")
	if Colourful(&bytes.Buffer{}) {
		t.Error("colours in a buffer")
	}
}
