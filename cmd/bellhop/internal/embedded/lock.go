package embedded

import (
	"errors"
	"fmt"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"io"
	"os"
	"path/filepath"
	"strings"
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
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return nil, unusable(err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 100)) // only to be helpful
		return nil, &config.Error{
			Variable: "BELLHOP_DATA", Value: dir,
			Want: fmt.Sprintf("another bellhop (process %s) is running on this directory; stop it, or name another directory", strings.TrimSpace(string(holder))),
		}
	}
	if err := sign(f); err != nil {
		return nil, errors.Join(unusable(err), f.Close())
	}
	return f, nil
}

// sign leaves the process id in the lock, for whoever finds it taken.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}
