package process

import (
	"runtime"
	"testing"
)

// TestHeadroom looks at when the collector would begin.
func TestHeadroom(t *testing.T) {
	const bytes = 64 << 20
	next := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	before := next()
	release := Headroom(bytes)
	if with := next(); with < before+bytes {
		t.Errorf("it begins at %d bytes, and with headroom at %d", before, with)
	}
	release()
	if after := next(); after >= before+bytes {
		t.Errorf("it begins at %d bytes, and after headroom at %d", before, after)
	}
}
