package httpchannel

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
)

var (
	errClosed = errors.New("the channel is starting or stopping")
	errBusy   = errors.New("too many requests are under way")
)

// problem is what went wrong, as RFC 9457 has it; its type is about:blank, for
// the status says as much.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	Run    string `json:"run,omitempty"`
}

const again = "repeat the request, with its Idempotency-Key if it has one"

// explain makes a problem of an error.
func explain(err error) problem {
	p := problem{Status: http.StatusServiceUnavailable, Detail: err.Error(), Hint: again}
	var body *http.MaxBytesError
	failure, failed := errors.AsType[*workers.CallError](err)
	switch {
	case failed:
		p.Status, p.Detail, p.Hint = statusOf(failure), failure.Message, ""
	case errors.As(err, &body) || errors.Is(err, workers.ErrTooLarge):
		p.Status, p.Hint = http.StatusRequestEntityTooLarge, "send less, or where to fetch it"
	case errors.Is(err, channels.ErrUnknownService):
		p.Status, p.Hint = http.StatusNotFound, "start a worker that runs it, or mend the name"
	case channels.Permanent(err):
		p.Status, p.Hint = http.StatusBadRequest, ""
	case errors.Is(err, errClosed), errors.Is(err, errBusy):
	default:
		p.Detail = "it is not known whether the ring is stored: " + err.Error()
	}
	return p
}

// statusOf says over HTTP how a run has failed. Its failure is not ours.
func statusOf(e *workers.CallError) int {
	switch e.Code {
	case http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return e.Code
	}
	return http.StatusBadGateway
}

// write answers with a problem.
func write(w http.ResponseWriter, r *http.Request, p problem) {
	p.Title = http.StatusText(p.Status)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // whoever asked has gone
	}
}
