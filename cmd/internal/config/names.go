package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// foreign matches what is not meant for us although it has our prefix: what
// the tests use, and what Kubernetes sets in every pod for a service whose name
// begins with "bellhop".
var foreign = regexp.MustCompile(`^BELLHOP_(TEST_.*|(.*_)?SERVICE_HOST|(.*_)?SERVICE_PORT(_.*)?|(.*_)?PORT(_.*)?)$`)

// checkNames refuses variables that are nearly, but not quite, ours.
func checkNames(environ, known []string) error {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, Prefix+"_") || slices.Contains(known, name) || foreign.MatchString(name) {
			continue
		}
		if strings.Contains(name, "PASS") {
			value = hidden
		}
		want := "there is no such variable; -h shows those that are"
		if near := nearest(name, known); near != "" {
			want = fmt.Sprintf("there is no such variable; did you mean %s?", near)
		}
		return &Error{Variable: name, Value: redact(value), Want: want}
	}
	return nil
}

// nearest gives the known name that name was probably meant to be, or "".
func nearest(name string, known []string) string {
	best, least := "", 4 // more than three slips are another word
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return best
	}
	// BELLHOP_URL for BELLHOP_NATS_URL, BELLHOP_NATS_PASSWORD for …_PASSWORD_FILE
	for _, k := range known {
		if strings.HasPrefix(k, name) || strings.HasSuffix(k, strings.TrimPrefix(name, Prefix)) {
			return k
		}
	}
	return ""
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
