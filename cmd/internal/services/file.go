package services

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"go.yaml.in/yaml/v3"
)

// Load reads the file that BELLHOP_SERVICES names; no name means no services.
// Nobody else may run the names in taken. The error is a *config.Error that
// tells the line.
func Load(path string, taken ...string) ([]Definition, error) {
	if path == "" {
		return nil, nil
	}
	definitions, err := load(path, taken)
	if err != nil {
		return nil, &config.Error{Variable: config.Prefix + "_SERVICES", Value: path, Want: err.Error()}
	}
	return definitions, nil
}

func load(path string, taken []string) ([]Definition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("name a YAML file that can be read: %w", errors.Unwrap(err)) // whose path is told
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return parse(text, dir, taken)
}

// parse reads definitions; the directories that they name count from dir.
func parse(text []byte, dir string, taken []string) ([]Definition, error) {
	var document, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing, or nothing but comments
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
	all, err := entries(root, "the file", "service names, each with its definition below it")
	if err != nil {
		return nil, err
	}
	var definitions []Definition
	for _, e := range all {
		if slices.Contains(taken, e.name) {
			return nil, e.refuse("", "this service is built in: choose another name")
		}
		if err := workers.CheckService(e.name); err != nil {
			return nil, e.refuse("", err.Error())
		}
		d, err := define(e, dir)
		if err != nil {
			return nil, err
		}
		definitions = append(definitions, d)
	}
	return definitions, nil
}

// fields are what a definition can say, for the messages.
const fields = "command, shell, url, dir, env, headers, timeout, attempts, concurrency"

// define reads one definition.
func define(service entry, dir string) (Definition, error) {
	d := Definition{Name: service.name}
	all, err := entries(service.value, "service "+service.name, "one of command, shell and url below it")
	if err != nil {
		return d, err
	}
	at := map[string]entry{}
	for _, e := range all {
		e.service = service.name
		at[e.name] = e
		if err := d.read(e); err != nil {
			return d, err
		}
	}
	var kinds []string
	for _, kind := range []string{"command", "shell", "url"} {
		if at[kind].value != nil {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) == 0:
		return d, service.refuse("", "say what it is: one of command, shell and url")
	case len(kinds) > 1:
		return d, at[kinds[1]].refuse("", "there is "+kinds[0]+" already: keep one of the two")
	}
	for kind, others := range map[string][]string{"url": {"dir", "env"}, "command": {"headers"}, "shell": {"headers"}} {
		for _, other := range others {
			if kind == kinds[0] && at[other].value != nil {
				return d, at[other].refuse("", "this means nothing beside "+kind+": leave it out")
			}
		}
	}
	if d.URL == "" {
		d.Dir = absolute(dir, d.Dir)
	}
	if _, err := d.service(runtime{}); err != nil {
		return d, at[kinds[0]].refuse("", err.Error())
	}
	return d, nil
}

func absolute(base, dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(base, dir)
}

// read takes in one field.
func (d *Definition) read(e entry) (err error) {
	switch e.name {
	case "command":
		d.Command, err = e.list()
	case "shell":
		var line string
		line, err = e.text()
		d.Command = command.Shell(line)
	case "url":
		d.URL, err = e.text()
	case "dir":
		d.Dir, err = e.text()
	case "env":
		err = e.pairs(func(name, value string) error {
			if strings.ContainsAny(name+value, "\x00") || strings.Contains(name, "=") {
				return errors.New("a variable's name holds no =, and neither it nor its value a zero byte")
			}
			d.Env = append(d.Env, name+"="+value)
			return nil
		})
	case "headers":
		d.Header = http.Header{}
		err = e.pairs(func(name, value string) error {
			d.Header.Add(textproto.CanonicalMIMEHeaderKey(name), value)
			return nil
		})
	case "timeout":
		d.Timeout, err = e.duration()
	case "attempts":
		d.Attempts, err = e.number()
	case "concurrency":
		d.Concurrency, err = e.number()
	default:
		err = e.refuse("", "there is no such field; there are "+fields)
	}
	return err
}

// duration is a field's value; the bounds are the worker's.
func (e entry) duration() (time.Duration, error) {
	text, err := e.text()
	if err != nil {
		return 0, err
	}
	const most = 7 * 24 * time.Hour
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond || d > most {
		return 0, e.refuse(text, "use a duration from 1ms to 168h, such as 30s, 5m or 1h30m")
	}
	return d, nil
}

func (e entry) number() (int, error) {
	text, err := e.text()
	if err != nil {
		return 0, err
	}
	const most = 1000
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, e.refuse(text, fmt.Sprintf("use a whole number from 1 to %d", most))
	}
	return n, nil
}
