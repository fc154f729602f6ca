package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Table is what is printed.
type Table struct {
	Machine Machine `json:"machine"`
	Plan    Plan    `json:"plan"`
	Rows    []Row   `json:"rows"`
}

// Markdown writes the table for people.
func (t Table) Markdown() string {
	var b strings.Builder
	m := t.Machine
	fmt.Fprintf(&b, "%s: %d cores (%s), %s, %s. %s.\n", m.Date, m.Cores, m.CPU, m.Memory, m.System, strings.Join(m.Versions, ", "))
	fmt.Fprintf(&b, "%s: a burst of %s jobs; %s jobs a second for %d s. Lateness is in milliseconds.\n\n",
		t.runs(), count(float64(t.Plan.N)), count(float64(t.Plan.Rate)), t.Plan.Seconds)
	b.WriteString("| | syncs to disk | created /s | burst: done /s | late p50 | p99 | steady: late p50 | p99 | max | came after kill -9 |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range t.Rows {
		if r.Skipped != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | | | | | | | |\n", r.Name, r.Syncs, strings.ReplaceAll(r.Skipped, "|", "¦"))
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.Name, r.Syncs,
			count(r.Create), count(r.Burst), late(r.BurstP50), late(r.BurstP99),
			late(r.SteadyP50), late(r.SteadyP99), late(r.SteadyMax), r.Kept)
	}
	for _, r := range t.Rows {
		if r.Lost+r.Again > 0 {
			fmt.Fprintf(&b, "\n%s: %d jobs never came, %d came once more.\n", r.Name, r.Lost, r.Again)
		}
		if r.Early >= 0.01 {
			fmt.Fprintf(&b, "\n%s: %.0f%% of the steady jobs came before their time (below zero).\n", r.Name, 100*r.Early)
		}
	}
	return b.String()
}

// runs says of how many runs the figures are.
func (t Table) runs() string {
	most := 0
	for _, r := range t.Rows {
		most = max(most, r.Runs)
	}
	if most == 1 {
		return "One run"
	}
	return fmt.Sprintf("Medians of %d runs", most)
}

// count writes a number to three digits, thousands apart.
func count(f float64) string {
	n := int(f + 0.5)
	for unit := 1; ; unit *= 10 {
		if n < 1000*unit {
			n = (n + unit/2) / unit * unit
			break
		}
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// late writes milliseconds: a tenth where that says something.
func late(ms float64) string {
	switch {
	case ms < 0:
		return "−" + late(-ms)
	case ms < 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return count(ms)
}

// JSON writes all of it for programs.
func (t Table) JSON() (string, error) {
	b, err := json.MarshalIndent(t, "", "  ")
	return string(b) + "\n", err
}

// The marks between which the README has the table.
const (
	beginMark = "<!-- compared: written by go -C .bench run . -write ../README.md -->\n"
	endMark   = "<!-- compared: end -->\n"
)

// write puts the table between the marks of a file.
func write(path, table string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, began := strings.Cut(string(text), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !began || !ended {
		return fmt.Errorf("%s has no place for the table: it must have the lines %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+beginMark+table+endMark+after), 0o644)
}
