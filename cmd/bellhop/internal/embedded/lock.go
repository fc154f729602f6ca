package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// errLocked is what lockFile gives when another process holds the lock.
var errLocked = errors.New("locked")

// lockDir makes a directory if it is missing and takes it for this process. The
// lock goes with the process, however that ends: there is no stale one to
// remove. Two servers on one store would destroy it.
func lockDir(dir string) (*os.File, error) {
	unusable := func(err error) error {
		return &config.Error{Variable: "BELLHOP_DATA", Value: dir, Want: "name a directory that can be written: " + err.Error()}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "bellhop.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(err)
	}
	switch err := lockFile(f); {
	case errors.Is(err, errLocked):
		return nil, errors.Join(held(dir, f), f.Close())
	case err != nil:
		return nil, errors.Join(unusable(err), f.Close())
	}
	if err := sign(f); err != nil {
		return nil, errors.Join(unusable(err), f.Close())
	}
	return f, nil
}

// held says who has the lock on dir.
func held(dir string, f io.Reader) error {
	who := ""
	if id, err := io.ReadAll(io.LimitReader(f, 20)); err == nil {
		who = " (process " + strings.TrimSpace(string(id)) + ")"
	}
	return &config.Error{
		Variable: "BELLHOP_DATA", Value: dir,
		Want: "another bellhop" + who + " is running on this directory; stop it, or name another directory",
	}
}

// sign leaves the process id in the lock, for whoever finds it taken.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}
