// Package index holds what pages and REST ask of all jobs at once: lists in any
// order, searches, counts, timelines, and how the last runs have ended. A
// question is answered from memory; neither NATS nor the bucket is asked.
//
//	bucket <ns>-jobs ──watch──► entries ──┬─► counts, at each change
//	                                      └─► orders, when they are asked for
//	stream <ns>-runs ──┬─ last 24 h ─┐
//	                   └─ follow ────┴─► marks of each job, minutes
//
// An entry is never changed: a new revision has a new one. An order is a sorted
// slice that is never changed either. What has come since it was made is merged
// into another when somebody asks, so that the walk over a hundred thousand
// entries holds no lock for which the watch would wait.
//
// An index lags behind the bucket as a watch does. It changes nothing and
// decides nothing: payloads are not in it, and counts of max_runs neither.
package index
