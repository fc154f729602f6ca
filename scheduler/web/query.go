package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
)

// only refuses parameters that nothing reads: they are misspelt.
func only(q url.Values, names ...string) error {
	for name, v := range q {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			return bad(name, "use "+strings.Join(names, ", "), "there is no such parameter")
		}
		if len(v) > 1 && name != "label" {
			return bad(name, "", "it is given %d times", len(v))
		}
	}
	return nil
}

// limit reads how many are wanted.
func limit(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return scheduler.ListLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > scheduler.MaxListLimit {
		return 0, bad("limit", fmt.Sprintf("use 1 to %d", scheduler.MaxListLimit), "%.20q", text)
	}
	return n, nil
}

// moment reads a time, zero if there is none.
func moment(q url.Values, name string) (time.Time, error) {
	text := q.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, bad(name, "use one such as 2026-12-07T09:00:00Z", "%.40q is no time", text)
	}
	return t, nil
}

// inactive are the reasons that a filter may name.
var inactive = []string{
	scheduler.ReasonCompleted, scheduler.ReasonMissed, scheduler.ReasonExpired, scheduler.ReasonDeactivated, scheduler.ReasonInvalid,
}

// jobQuery reads which jobs are wanted.
func jobQuery(q url.Values) (index.Query, error) {
	err := only(q, "search", "prefix", "service", "state", "reason", "outcome", "label", "order", "limit", "cursor")
	if err != nil {
		return index.Query{}, err
	}
	n, err := limit(q)
	query := index.Query{
		Search: q.Get("search"), Prefix: q.Get("prefix"), Service: q.Get("service"), State: q.Get("state"), Reason: q.Get("reason"),
		Outcome: q.Get("outcome"), Order: q.Get("order"), Limit: n, Cursor: q.Get("cursor"),
	}
	if s := query.State; s != "" && s != scheduler.StateActive && s != scheduler.StateInactive {
		return query, bad("state", "use active or inactive", "%.40q", s)
	}
	if s := query.Outcome; s != "" && !slices.Contains(outcomes, s) {
		return query, errOutcome(s)
	}
	if s := query.Reason; s != "" && !slices.Contains(inactive, s) {
		return query, bad("reason", "use "+strings.Join(inactive, ", "), "%.40q", s)
	}
	for _, label := range q["label"] {
		k, v, ok := strings.Cut(label, "=")
		if !ok {
			return query, bad("label", "use key=value", "%.60q", label)
		}
		if query.Labels == nil {
			query.Labels = map[string]string{}
		}
		query.Labels[k] = v
	}
	return query, err
}
