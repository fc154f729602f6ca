package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// LetterFilter says which dead letters are wanted; the zero value is all of
// them.
type LetterFilter struct {
	// Service and Job (its name) are those of the letter.
	Service string `json:"service,omitempty"`
	Job     string `json:"job,omitempty"`
	// Since and Until bound the time at which the letter was stored.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Reason is a text that the reason holds, in whatever case.
	Reason string `json:"reason,omitempty"`
	// Limit is how many letters a page holds, up to MaxListLimit; 0 means
	// ListLimit.
	Limit int `json:"limit,omitempty"`
	// Cursor is what the page before has given.
	Cursor string `json:"cursor,omitempty"`
}

// wanted is the filter as the workers' package has it.
func (f *LetterFilter) wanted() workers.LetterFilter {
	w := workers.LetterFilter{Service: f.Service, Since: f.Since, Until: f.Until, Reason: f.Reason}
	if f.Job != "" {
		w.Job = workers.Escape(f.Job)
	}
	return w
}

// letterVerbs are what the API does with dead letters.
type letterVerbs struct{ s *Scheduler }

func (v letterVerbs) open(ctx context.Context) (*workers.Letters, error) {
	return workers.OpenLetters(ctx, v.s.js, v.s.ns)
}

// readLetterFilter reads what list and count are asked.
func readLetterFilter(data []byte) (f LetterFilter, w workers.LetterFilter, err error) {
	f.Limit = ListLimit
	err = readArguments(data, func(a field) error { return f.read(a) })
	if err == nil && (f.Limit < 1 || f.Limit > MaxListLimit) {
		err = invalid("limit", fmt.Sprintf("use 1 to %d", MaxListLimit), "%d letters", f.Limit)
	}
	w = f.wanted()
	if f.Cursor != "" && err == nil {
		if w.Before, err = strconv.ParseUint(f.Cursor, 10, 64); err != nil {
			err = invalid("cursor", "send the one that the page before has given", "not a cursor")
		}
	}
	return f, w, err
}

func (f *LetterFilter) read(a field) (err error) {
	switch a.name {
	case "service":
		f.Service, err = text(a.value)
	case "job":
		f.Job, err = text(a.value)
	case "since":
		err = json.Unmarshal(a.value, &f.Since)
	case "until":
		err = json.Unmarshal(a.value, &f.Until)
	case "reason":
		f.Reason, err = text(a.value)
	case "limit":
		err = json.Unmarshal(a.value, &f.Limit)
	case "cursor":
		f.Cursor, err = text(a.value)
	default:
		err = errUnknownField
	}
	return err
}

// letterPage is a page of letters.
type letterPage struct {
	Letters []*workers.Letter `json:"letters"`
	Cursor  string            `json:"cursor,omitempty"`
}

// list answers a page of letters without their payloads, the newest first.
func (v letterVerbs) list(ctx context.Context, data []byte) ([]byte, error) {
	f, wanted, err := readLetterFilter(data)
	if err != nil {
		return nil, err
	}
	letters, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	page, size := letterPage{Letters: []*workers.Letter{}}, 0
	for l, err := range letters.List(ctx, wanted) {
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(l)
		if err != nil {
			return nil, err
		}
		if n := len(page.Letters); n == f.Limit || n > 0 && size+len(b) > listBytes {
			page.Cursor = strconv.FormatUint(page.Letters[n-1].ID, 10)
			break
		}
		size += len(b) // of one, less than 64 KiB of headers
		page.Letters = append(page.Letters, l)
	}
	return json.Marshal(page)
}

func (v letterVerbs) count(ctx context.Context, data []byte) ([]byte, error) {
	_, wanted, err := readLetterFilter(data)
	if err != nil {
		return nil, err
	}
	letters, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	n, err := letters.Count(ctx, wanted)
	if err != nil {
		return nil, err
	}
	return json.Marshal(letterCount{n})
}

type letterCount struct {
	Count int `json:"count"`
}

// get answers a letter with its payload, if the reply has room for it.
func (v letterVerbs) get(ctx context.Context, data []byte) ([]byte, error) {
	return v.one(ctx, data, func(letters *workers.Letters, id uint64) (any, error) {
		l, err := letters.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if b, err := json.Marshal(l); err != nil || len(b) <= int(v.s.nc.MaxPayload()) {
			return l, err
		}
		return l.Without(fmt.Sprintf("too large for a reply: nats stream get %s %d shows it", v.s.ns.DeadStream(), id)), nil
	})
}

func (v letterVerbs) redrive(ctx context.Context, data []byte) ([]byte, error) {
	return v.one(ctx, data, func(letters *workers.Letters, id uint64) (any, error) {
		run, err := letters.Redrive(ctx, id)
		return struct {
			Run string `json:"run"`
		}{run}, err
	})
}

func (v letterVerbs) drop(ctx context.Context, data []byte) ([]byte, error) {
	return v.one(ctx, data, func(letters *workers.Letters, id uint64) (any, error) {
		return struct{}{}, letters.Drop(ctx, id)
	})
}

// one does something with the letter that a request names.
func (v letterVerbs) one(ctx context.Context, data []byte, do func(*workers.Letters, uint64) (any, error)) ([]byte, error) {
	var id uint64
	err := readArguments(data, func(f field) error {
		if f.name != "id" {
			return errUnknownField
		}
		return json.Unmarshal(f.value, &id)
	})
	if err != nil {
		return nil, err
	}
	letters, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := do(letters, id)
	if err != nil {
		return nil, letterError(id, err)
	}
	return json.Marshal(reply)
}

// letterError says what is wrong in words of letters.
func letterError(id uint64, err error) error {
	switch {
	case errors.Is(err, workers.ErrNoLetter):
		return &Error{Code: 404, Field: "id", Message: fmt.Sprintf("there is no dead letter %d", id), Hint: "bellhop dead list shows those that there are"}
	case errors.Is(err, workers.ErrPayloadGone):
		return &Error{Code: 409, Message: err.Error(), Hint: "run what made it once more, then drop the letter"}
	case errors.Is(err, workers.ErrTooLarge):
		return &Error{Code: 413, Message: err.Error(), Hint: "raise the server's max_payload"}
	}
	return err
}
