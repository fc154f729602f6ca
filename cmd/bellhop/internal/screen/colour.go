package screen

import (
	"io"
	"os"
)

// Colourful says whether w is a terminal whose user has not asked for none.
func Colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
