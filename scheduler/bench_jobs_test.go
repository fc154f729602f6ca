package scheduler

import (
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// benchEntry is a definition of so many bytes; the grids of a thousand of them
// are spread over a second.
func benchEntry(i, size int, every time.Duration) kv.Entry[[]byte] {
	def := fmt.Sprintf(`{"name":"job-%07d","service":"bench","schedule":{"every":%q},"anchor":"2026-01-01T00:00:00.%03dZ","payload":""}`, i, every, i%1000)
	def = strings.Replace(def, `"payload":""`, `"payload":"`+strings.Repeat("x", max(size-len(def), 0))+`"`, 1)
	return kv.Entry[[]byte]{Key: fmt.Sprintf("job-%07d", i), Value: []byte(def), Revision: uint64(i + 1), Created: time.Now()}
}

// benchJobs are jobs with a payload of 128 bytes that are due once and then
// not for a long time.
func benchJobs(n int) []*job {
	list, b := make([]*job, n), newBook()
	for i := range list {
		j := b.read(benchEntry(i, 128+140, 100*24*time.Hour))
		list[i] = &j
	}
	return list
}
