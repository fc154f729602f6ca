package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Entrant is a contender in one of its settings: a row of the table.
type Entrant struct {
	// Name is unique; what is before the first comma is what -only takes.
	Name string
	// Syncs says when what was accepted is on the disk.
	Syncs string
	// Ahead is how long before their time jobs must be accepted so that the
	// contender can be punctual; 0 where it does not matter.
	Ahead time.Duration
	Contender
}

// Entrants are all rows, like beside like: first those that sync each write.
func Entrants() []Entrant {
	return []Entrant{
		{Name: "Bellhop, sync always", Syncs: "each write", Contender: Bellhop{}},
		{Name: "NATS schedules, sync always", Syncs: "each write", Contender: Schedules{}},
		{Name: "River, synchronous_commit on", Syncs: "each commit (default)", Ahead: riverAhead, Contender: River{Commit: "on"}},
		{Name: "asynq, appendfsync always", Syncs: "each write", Contender: Asynq{Append: "always"}},

		{Name: "Bellhop, sync 1s", Syncs: "each second", Contender: Bellhop{Sync: time.Second}},
		{Name: "NATS schedules, sync 1s", Syncs: "each second (default: two minutes)", Contender: Schedules{Sync: time.Second}},
		{Name: "River, synchronous_commit off", Syncs: "within 0.6 s", Ahead: riverAhead, Contender: River{Commit: "off"}},
		{Name: "asynq, appendfsync everysec", Syncs: "each second", Contender: Asynq{Append: "everysec"}},

		{Name: "asynq, no append-only file", Syncs: "snapshots (default)", Contender: Asynq{Append: "no"}},
		{Name: "gocron", Syncs: "nothing is stored", Contender: Gocron{}},
	}
}

func entrantNamed(name string) (Entrant, error) {
	all := Entrants()
	i := slices.IndexFunc(all, func(e Entrant) bool { return e.Name == name })
	if i < 0 {
		return Entrant{}, fmt.Errorf("there is no entrant %q", name)
	}
	return all[i], nil
}

// key is how -only calls an entrant's family.
func (e Entrant) key() string {
	family, _, _ := strings.Cut(e.Name, ",")
	return strings.ToLower(strings.ReplaceAll(family, " ", "-"))
}

// chosen are the entrants whose family is in the list, with commas between; an
// empty list is all of them.
func chosen(only string) ([]Entrant, error) {
	all := Entrants()
	if only == "" {
		return all, nil
	}
	var some []Entrant
	var known []string
	for _, e := range all {
		known = append(known, e.key())
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for key := range strings.SplitSeq(only, ",") {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("-only: there is no %q: use %s", key, strings.Join(known, ", "))
		}
		for _, e := range all {
			if e.key() == key {
				some = append(some, e)
			}
		}
	}
	return some, nil
}
