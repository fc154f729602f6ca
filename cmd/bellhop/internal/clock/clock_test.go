package clock

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 7, 10, 30, 0, 0, prague)
	for text, want := range map[string]string{
		"2026-12-24T18:00:00Z":          "2026-12-24T18:00:00Z",
		"2026-12-24T18:00:00.123+01:00": "2026-12-24T17:00:00.123Z",
		"2026-12-24T18:00":              "2026-12-24T17:00:00Z",
		"2026-12-24 18:00":              "2026-12-24T17:00:00Z",
		"2026-07-24 18:00:05":           "2026-07-24T16:00:05Z",
		"2026-12-24":                    "2026-12-23T23:00:00Z",
		"+10m":                          "2026-12-07T09:40:00Z",
		"+1d":                           "2026-12-08T09:30:00Z",
		"now":                           "2026-12-07T09:30:00Z",
		"11:00":                         "2026-12-07T10:00:00Z",
		"09:00:30":                      "2026-12-08T08:00:30Z", // it has passed today
		"10:30":                         "2026-12-08T09:30:00Z",
	} {
		got, err := Parse(text, now)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "25:00", "+", "+x", "-10m", "2026-13-01", "10"} {
		if got, err := Parse(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParsePast(t *testing.T) {
	now := time.Date(2026, 12, 7, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2h":         "2026-12-07T08:30:00Z",
		"-2h":        "2026-12-07T08:30:00Z",
		"1d":         "2026-12-06T10:30:00Z",
		"09:00":      "2026-12-07T09:00:00Z",
		"11:00":      "2026-12-06T11:00:00Z",
		"2026-12-01": "2026-12-01T00:00:00Z",
		"2030-01-01": "2030-01-01T00:00:00Z", // whoever says so means it
	} {
		got, err := ParsePast(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q is %v (%v), want %s", text, got, err, want)
		}
	}
	if _, err := ParsePast("long ago", now); err == nil {
		t.Error("no error")
	}
}

func TestShow(t *testing.T) {
	now := time.Date(2026, 12, 7, 10, 30, 0, 0, time.Local)
	at := now.Format(Layout)
	for d, want := range map[time.Duration]string{
		0:                  at + " (in 0s)",
		90 * time.Second:   now.Add(90*time.Second).Format(Layout) + " (in 90s)",
		-5 * time.Minute:   now.Add(-5*time.Minute).Format(Layout) + " (5m ago)",
		3 * time.Hour:      now.Add(3*time.Hour).Format(Layout) + " (in 3h)",
		100 * time.Hour:    now.Add(100*time.Hour).Format(Layout) + " (in 4d)",
		-119 * time.Minute: now.Add(-119*time.Minute).Format(Layout) + " (119m ago)",
	} {
		if got := Show(now.Add(d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := Show(time.Time{}, now); got != "-" {
		t.Error(got)
	}
}
