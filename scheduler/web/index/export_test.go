package index

import (
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
)

// Learn gives an index a revision as the watch does.
func (x *Index) Learn(e kv.Entry[[]byte]) { x.learn(e) }

// Record gives it a record as it comes.
func (x *Index) Record(r *workers.Run) { x.record(r) }

// RoundTrip gives the middle of a lateness's class.
func RoundTrip(d time.Duration) time.Duration { return middle(class(d)) }
