package scheduler

import (
	"context"
	"iter"

	"github.com/bellhop-run/bellhop/workers"
)

// Letters gives the dead letters, without their payloads, the newest first and
// page by page. It ends at the first error.
func (c *Client) Letters(ctx context.Context, f LetterFilter) iter.Seq2[*workers.Letter, error] {
	return func(yield func(*workers.Letter, error) bool) {
		for {
			letters, next, err := c.LettersPage(ctx, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, l := range letters {
				if !yield(l, nil) {
					return
				}
			}
			if f.Cursor = next; next == "" {
				return
			}
		}
	}
}

// LettersPage gives one page of dead letters and the cursor of the next one,
// empty if there is none.
func (c *Client) LettersPage(ctx context.Context, f LetterFilter) (letters []*workers.Letter, next string, err error) {
	var page letterPage
	err = c.letters(ctx, "list", f, &page)
	return page.Letters, page.Cursor, err
}

// CountLetters tells how many dead letters the filter wants, whatever its limit
// and cursor say.
func (c *Client) CountLetters(ctx context.Context, f LetterFilter) (int, error) {
	f.Limit, f.Cursor = 0, ""
	var n letterCount
	err := c.letters(ctx, "count", f, &n)
	return n.Count, err
}

// letterID names a letter.
type letterID struct {
	ID uint64 `json:"id"`
}

// Letter reads a dead letter with its payload (404 if there is none).
func (c *Client) Letter(ctx context.Context, id uint64) (*workers.Letter, error) {
	l := new(workers.Letter)
	return l, c.letters(ctx, "get", letterID{id}, l)
}

// RedriveLetter sends a dead letter back to work, and returns the run's id: see
// workers.Letters.
func (c *Client) RedriveLetter(ctx context.Context, id uint64) (run string, err error) {
	var r struct {
		Run string `json:"run"`
	}
	err = c.letters(ctx, "redrive", letterID{id}, &r)
	return r.Run, err
}

// DropLetter deletes a dead letter for good.
func (c *Client) DropLetter(ctx context.Context, id uint64) error {
	return c.letters(ctx, "drop", letterID{id}, &struct{}{})
}

func (c *Client) letters(ctx context.Context, verb string, request, reply any) error {
	return c.exchange(ctx, c.ns.LettersSubject(verb), request, reply)
}
