// Package yamlfile reads the YAML files that the configuration names, and says of
// what cannot be right the line, the field and what to write there.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"go.yaml.in/yaml/v3"
)

// Load reads the file that a variable names, with read, which is given its text
// and the directory from which the paths in it count. No name is no file. The
// error is a *config.Error.
func Load(variable, path string, read func(text []byte, dir string) error) error {
	if path == "" {
		return nil
	}
	if err := load(path, read); err != nil {
		return &config.Error{Variable: config.Prefix + "_" + variable, Value: path, Want: err.Error()}
	}
	return nil
}

func load(path string, read func(text []byte, dir string) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("name a YAML file that can be read: %w", errors.Unwrap(err)) // whose path is told
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	return read(text, dir)
}

// Parse gives what a file's mapping holds; nothing, or nothing but comments, is
// none. want is what is to be written there.
func Parse(text []byte, want string) ([]Entry, error) {
	var document, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if !errors.Is(d.Decode(&second), io.EOF) {
		return nil, errors.New("the file holds more than one document: leave out the lines ---")
	}
	root := resolve(document.Content[0])
	if isNull(root) {
		return nil, nil
	}
	return Entries(root, "the file", want)
}

// Absolute is a path that a file names, from the file's directory.
func Absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
