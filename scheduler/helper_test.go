package scheduler

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones of every machine, whatever it has installed
)

// compile compiles a schedule written as JSON, anchored at 2026-01-01.
func compile(t testing.TB, text string) Plan {
	t.Helper()
	s, err := decodeSchedule([]byte(text), true)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p, err := s.Compile(ms("2026-01-01T00:00:00Z"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// ms gives an RFC 3339 time in Unix milliseconds.
func ms(text string) int64 {
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return v.UnixMilli()
}

// upcoming gives the first n due times after a time, as RFC 3339 in a zone.
func upcoming(p *Plan, key, after string, n int, loc *time.Location) []string {
	var list []string
	for due := p.Next(key, ms(after)); due != Never && len(list) < n; due = p.Next(key, due) {
		list = append(list, time.UnixMilli(due).In(loc).Format("2006-01-02T15:04:05.999Z07:00"))
	}
	return list
}
