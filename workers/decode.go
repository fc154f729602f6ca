package workers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Decode reads the payload as JSON into what v points to, as encoding/json does;
// only a service that asks for it has its payload parsed. It is one JSON value,
// with nothing but white space around it: an empty payload and a second value
// are errors. Fields that v does not have are ignored. Where v leaves the type
// open, a number is a json.Number, so that a long id keeps its last digits. What
// Content-Type the trigger came with plays no part: the service knows what it
// expects.
//
// An error is Permanent, and says where and what is wrong: the byte, the field,
// the type that is expected. It never holds any of the payload.
func (t *Trigger) Decode(v any) error {
	if p := reflect.ValueOf(v); p.Kind() != reflect.Pointer || p.IsNil() {
		return Permanent(fmt.Errorf("decode payload: into a %T: give Decode a pointer", v))
	}
	d := json.NewDecoder(bytes.NewReader(t.Payload))
	d.UseNumber()
	err := d.Decode(v)
	if err == nil {
		end := d.InputOffset()
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = fmt.Errorf("something follows the JSON value that ends at byte %d", end)
	} else {
		err = t.misfit(err)
	}
	return Permanent(fmt.Errorf("decode payload of %d bytes: %w", len(t.Payload), err))
}

// misfit says of an error of encoding/json what may be said: its own text can
// hold what was read.
func (t *Trigger) misfit(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ") // "number 17"
		if wrong.Field != "" {
			kind = "field " + wrong.Field + ": " + kind
		}
		return fmt.Errorf("at byte %d: %s where %s is expected", wrong.Offset, kind, wrong.Type)
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("malformed JSON at byte %d", broken.Offset)
	}
	switch {
	case len(bytes.TrimSpace(t.Payload)) == 0:
		return errors.New("it is empty where JSON is expected")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON has no end")
	}
	return fmt.Errorf("a value is refused by its own type (%T)", err)
}
