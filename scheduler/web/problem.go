package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// problem is what went wrong, as RFC 9457 has it; its type is about:blank, for
// the status says as much. The other members are those of a scheduler.Error.
type problem struct {
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Field    string `json:"field,omitempty"`
	Hint     string `json:"hint,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// fail answers with an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := explain(err)
	if e.Code == http.StatusConflict && (e.Field == "revision" && r.Header.Get("If-Match") != "" || e.Field == "name" && r.Header.Get("If-None-Match") == "*") {
		e.Code = http.StatusPreconditionFailed
	}
	if e.Code >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.o.Logger.Warn("a request has failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if e.Code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, r, e.Code, "application/problem+json", problemOf(e))
}

func problemOf(e scheduler.Error) *problem {
	return &problem{http.StatusText(e.Code), e.Code, e.Message, e.Field, e.Hint, e.Revision}
}

// explain makes of any error one with a code.
func explain(err error) scheduler.Error {
	if e, ok := errors.AsType[*scheduler.Error](err); ok {
		return *e
	}
	e := scheduler.Error{Code: http.StatusInternalServerError, Message: err.Error()}
	var body *http.MaxBytesError
	switch {
	case errors.As(err, &body):
		e.Code, e.Message = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", body.Limit)
	case errors.Is(err, nats.ErrMaxPayload): // of a body just below the limit, with its job's name
		e.Code, e.Message, e.Hint = http.StatusRequestEntityTooLarge, "the body is too large", "make the payload smaller, or raise the server's max_payload"
	case errors.Is(err, scheduler.ErrNoLeader), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Hint = http.StatusServiceUnavailable, "repeat the request"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		e.Code, e.Hint = http.StatusServiceUnavailable, "the first scheduler makes it; start one, then repeat the request"
	case errors.Is(err, workers.ErrName):
		e.Code = http.StatusBadRequest
	case errors.Is(err, workers.ErrNoLetter):
		e.Code = http.StatusNotFound
	}
	return e
}

func bad(field, hint, format string, args ...any) error {
	return &scheduler.Error{Code: http.StatusBadRequest, Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// answer writes JSON; raw bytes are written as they are.
func answer(w http.ResponseWriter, r *http.Request, status int, kind string, v any) {
	body, raw := v.([]byte)
	if !raw {
		var err error
		if body, err = json.Marshal(v); err != nil {
			status, body = http.StatusInternalServerError, []byte(`{"title":"Internal Server Error","status":500,"detail":"the answer cannot be written"}`)
			kind = "application/problem+json"
		}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever asked has gone
	}
}

func ok(w http.ResponseWriter, r *http.Request, v any) error {
	answer(w, r, http.StatusOK, "application/json", v)
	return nil
}

// ifMatch reads the revision that a change depends on, 0 for any. A list of
// revisions makes no sense here.
func ifMatch(r *http.Request) (uint64, error) {
	text := r.Header.Get("If-Match")
	if text == "" || text == "*" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 64)
	if err != nil || n == 0 || len(r.Header.Values("If-Match")) > 1 {
		return 0, bad("If-Match", `send one ETag as it was given, such as "12"`, "%.60q is no revision", text)
	}
	return n, nil
}

// known tells whether If-None-Match names a tag. It may name many, and proxies
// that compress make them weak (RFC 9110, 13.1.2).
func known(r *http.Request, tag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// body reads a body of JSON; an empty one is nil.
func body(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/merge-patch+json" {
		return nil, &scheduler.Error{
			Code: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("a body of type %.60q", r.Header.Get("Content-Type")), Hint: "send application/json",
		}
	}
	return data, nil
}

// arguments reads a body into v, whose fields are all there may be.
func arguments(r *http.Request, v any) error {
	data, err := body(r)
	if err != nil || data == nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err = d.Decode(v); err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) { // More overlooks a bracket
			err = errors.New("there is more after the object")
		}
	}
	if e, ok := errors.AsType[*scheduler.Error](err); ok {
		return e
	}
	if err != nil {
		return bad("", "", "the body: %v", err)
	}
	return nil
}
