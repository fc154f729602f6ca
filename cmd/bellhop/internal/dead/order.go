package dead

import (
	"cmp"
	"maps"
	"slices"
)

// sorted gives each id once, the lowest first: the oldest letter.
func sorted(ids []uint64) []uint64 {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// byCount orders the services by how many letters they have, the most first.
func byCount(services map[string]int) []string {
	return slices.SortedFunc(maps.Keys(services), func(a, b string) int {
		return cmp.Or(cmp.Compare(services[b], services[a]), cmp.Compare(a, b))
	})
}
