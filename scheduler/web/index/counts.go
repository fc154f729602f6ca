package index

import "maps"

// Counts says how many jobs there are, in all and by what they are.
type Counts struct {
	// Total is Active and Inactive together.
	Total, Active, Inactive int
	// Invalid are those of the inactive whose definition cannot be read.
	Invalid int
	// Reasons counts the inactive by their reason, Services all valid jobs by
	// their service.
	Reasons, Services map[string]int
}

// Counts gives the counts of now; nothing is counted for it.
func (x *Index) Counts() Counts {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.counts
	c.Reasons, c.Services = maps.Clone(c.Reasons), maps.Clone(c.Services)
	return c
}

func (c *Counts) add(e *entry, n int) {
	c.Total += n
	if e.active() {
		c.Active += n
	} else {
		c.Inactive += n
		change(c.Reasons, e.reason, n)
	}
	if e.invalid() {
		c.Invalid += n
		return
	}
	change(c.Services, e.service.Value(), n)
}

func change(m map[string]int, key string, n int) {
	if m[key] += n; m[key] == 0 {
		delete(m, key)
	}
}
