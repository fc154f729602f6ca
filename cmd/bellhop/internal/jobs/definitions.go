package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// definitions gives the JSON objects of a file: one, many one after the other,
// an array of them, or YAML documents. The bytes of each are what they were, but
// for YAML's.
func definitions(data []byte) ([]json.RawMessage, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	switch data[0] {
	case '[':
		var all []json.RawMessage
		err := json.Unmarshal(data, &all)
		return all, err
	case '{':
		var all []json.RawMessage
		for d := json.NewDecoder(bytes.NewReader(data)); ; {
			var one json.RawMessage
			err := d.Decode(&one)
			if errors.Is(err, io.EOF) {
				return all, nil
			}
			if err != nil {
				return nil, fmt.Errorf("object %d: %w", len(all)+1, err)
			}
			all = append(all, one)
		}
	}
	docs, err := output.FromYAML(data)
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for _, doc := range docs { // a document may be a list, too
		if doc[0] != '[' {
			all = append(all, doc)
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(doc, &list); err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// source is where whole definitions come from.
type source struct {
	File string `short:"f" placeholder:"FILE|-" help:"Read whole definitions: a JSON object, many of them, or YAML."`
}

func (f source) read(s *session.Session) ([]json.RawMessage, error) {
	data, err := s.ReadFile(f.File)
	if err != nil {
		return nil, err
	}
	all, err := definitions(data)
	if err != nil {
		return nil, session.Usage("it holds JSON objects or YAML documents, one for each job", "-f %s: %w", f.File, err)
	}
	return all, nil
}

// jobs gives the jobs that a command speaks of: those of its file, each
// changed as the flags say, or a new one of the name.
func (f source) jobs(s *session.Session, name string, fields *Fields) ([]*scheduler.Job, error) {
	var jobs []*scheduler.Job
	if f.File == "" {
		if name == "" {
			return nil, session.Usage("say NAME --service S --every 30m, or -f FILE", "no job is named")
		}
		jobs = []*scheduler.Job{{Name: name}}
	} else {
		all, err := f.read(s)
		if err != nil {
			return nil, err
		}
		if name != "" && len(all) != 1 {
			return nil, session.Usage("leave out the name, or the other definitions", "-f %s holds %d definitions, which cannot all be called %q", f.File, len(all), name)
		}
		for i, data := range all {
			j, err := parse(data, name)
			if err != nil {
				return nil, placed(f.File, i, len(all), err)
			}
			jobs = append(jobs, j)
		}
	}
	for _, j := range jobs {
		if _, err := fields.apply(s, j); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// parse reads a definition, whose name may be said elsewhere.
func parse(data json.RawMessage, name string) (*scheduler.Job, error) {
	if name != "" {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err == nil && fields["name"] == nil && len(data) > 1 {
			rest := bytes.TrimSpace(data[1:])
			if rest[0] != '}' {
				rest = append([]byte(","), rest...)
			}
			data = append(append([]byte(`{"name":`), scheduler.Text(name)...), rest...)
		}
	}
	j, err := scheduler.ParseJob(data)
	if err == nil && name != "" {
		j.Name = name
	}
	return j, err
}

// placed says which of a file's definitions an error is about.
func placed(file string, i, of int, err error) error {
	e, ok := errors.AsType[*scheduler.Error](err)
	if !ok {
		return fmt.Errorf("%s: definition %d: %w", file, i+1, err)
	}
	c := *e
	c.Message = fmt.Sprintf("%s (%s, definition %d of %d)", c.Message, file, i+1, of)
	return &c
}
