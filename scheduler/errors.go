package scheduler

import (
	"errors"
	"fmt"
)

// Error is an answer that a caller can act on: what is wrong, where, and what
// to do. It is the body of every refused request, over NATS and HTTP alike.
type Error struct {
	// Code is an HTTP status: 400, 404, 409, 413, 500 or 503.
	Code int `json:"code"`
	// Message says what is wrong, without a trailing full stop.
	Message string `json:"message"`
	// Field is the path of the offending field ("schedule.cron"), if one is.
	Field string `json:"field,omitempty"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// Revision is the job's present revision, where a conflict is about it.
	Revision uint64 `json:"revision,omitempty"`
}

// Error gives the field, the message and the hint in one line.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// invalid makes a 400 about one field.
func invalid(field, hint, format string, args ...any) *Error {
	return &Error{Code: 400, Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// Code gives the status code of any error: that of an *Error, 500 otherwise.
func Code(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 500
}
