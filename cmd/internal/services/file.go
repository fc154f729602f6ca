package services

import (
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/yamlfile"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
)

// Load reads the file that BELLHOP_SERVICES names; no name means no services.
// Nobody else may run the names in taken. The error is a *config.Error that
// tells the line.
func Load(path string, taken ...string) (definitions []Definition, err error) {
	err = yamlfile.Load("SERVICES", path, func(text []byte, dir string) (err error) {
		definitions, err = parse(text, dir, taken)
		return err
	})
	return definitions, err
}

// parse reads definitions; the directories that they name count from dir.
func parse(text []byte, dir string, taken []string) ([]Definition, error) {
	all, err := yamlfile.Parse(text, "service names, each with its definition below it")
	if err != nil {
		return nil, err
	}
	var definitions []Definition
	for _, e := range all {
		if slices.Contains(taken, e.Name) {
			return nil, e.Refuse("", "this service is built in: choose another name")
		}
		if err := workers.CheckService(e.Name); err != nil {
			return nil, e.Refuse("", err.Error())
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
const fields = "command, shell, url, dir, env, headers, secrets, allow, " +
	"description, version, concurrency, fleet, rate, priority, timeout, attempts, backoff, max_backoff"

// define reads one definition.
func define(service yamlfile.Entry, dir string) (Definition, error) {
	d := Definition{Name: service.Name}
	all, err := yamlfile.Entries(service.Value, "service "+service.Name, "one of command, shell and url below it")
	if err != nil {
		return d, err
	}
	at := map[string]yamlfile.Entry{}
	for _, e := range all {
		e.Of = service.Name
		at[e.Name] = e
		if err := d.read(e); err != nil {
			return d, err
		}
	}
	var kinds []string
	for _, kind := range []string{"command", "shell", "url"} {
		if at[kind].Value != nil {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) == 0:
		return d, service.Refuse("", "say what it is: one of command, shell and url")
	case len(kinds) > 1:
		return d, at[kinds[1]].Refuse("", "there is "+kinds[0]+" already: keep one of the two")
	}
	for kind, others := range map[string][]string{"url": {"dir", "env"}, "command": ofURLs, "shell": ofURLs} {
		for _, other := range others {
			if kind == kinds[0] && at[other].Value != nil {
				return d, at[other].Refuse("", "this means nothing beside "+kind+": leave it out")
			}
		}
	}
	if d.MaxBackoff > 0 && d.MaxBackoff < d.Backoff {
		return d, at["max_backoff"].Refuse("", "it is less than backoff: make it longer, or leave it out")
	}
	if d.URL == "" {
		d.Dir = yamlfile.Absolute(dir, d.Dir)
	}
	if e := at["secrets"]; e.Value != nil {
		if err := d.readSecrets(e, dir); err != nil {
			return d, err
		}
	}
	if _, err := d.service(runtime{}); err != nil {
		return d, at[kinds[0]].Refuse("", err.Error())
	}
	return d, nil
}

// ofURLs are the fields that only an endpoint has.
var ofURLs = []string{"headers", "secrets", "allow"}

// readSecrets reads the file of an endpoint's secrets, one in a line.
func (d *Definition) readSecrets(e yamlfile.Entry, dir string) error {
	path, err := e.Text()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(yamlfile.Absolute(dir, path))
	if err != nil {
		return e.Refuse(path, "name a file that can be read: "+errors.Unwrap(err).Error())
	}
	if d.Secrets = strings.Fields(string(text)); len(d.Secrets) == 0 {
		return e.Refuse(path, "there is no secret in it: write whsec_ and base64, one in a line")
	}
	return nil
}

const wantCommand = "write a list, the program and its arguments, such as [tar, -cf, out.tar]; for a line of shell use shell"

// read takes in one field.
func (d *Definition) read(e yamlfile.Entry) (err error) {
	switch e.Name {
	case "command":
		d.Command, err = e.List(wantCommand)
	case "shell":
		var line string
		line, err = e.Text()
		d.Command = command.Shell(line)
	case "url":
		d.URL, err = e.Text()
	case "dir":
		d.Dir, err = e.Text()
	case "env":
		err = e.Pairs(func(name, value string) error {
			if strings.ContainsAny(name+value, "\x00") || strings.Contains(name, "=") {
				return errors.New("a variable's name holds no =, and neither it nor its value a zero byte")
			}
			d.Env = append(d.Env, name+"="+value)
			return nil
		})
	case "headers":
		d.Header = http.Header{}
		err = e.Pairs(func(name, value string) error {
			d.Header.Add(textproto.CanonicalMIMEHeaderKey(name), value)
			return nil
		})
	case "allow":
		d.Allow, err = e.List("write a list of addresses and networks, such as [10.0.0.5, 192.168.0.0/16]")
	case "secrets": // once all is read
	default:
		return d.readOption(e)
	}
	return err
}
