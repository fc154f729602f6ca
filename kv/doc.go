// Package kv is typed key-value storage on a NATS JetStream KV bucket, with
// every write a compare-and-set.
//
// A bucket made here is an ordinary KV bucket: the plain `nats kv` command
// reads and writes it. Three things are different from the client library's
// own:
//
//   - Writes return the revision that they made, deletions too, so that a
//     caller can wait until somebody else has seen exactly this write.
//   - Reads are answered by the stream's leader (direct get is off), so what
//     was acknowledged is what is read, on a cluster as well.
//   - A change may be one of an atomic batch (Apply), which needs a stream
//     setting that the client library's bucket configuration cannot express.
//
// The data's way:
//
//	Create, Update, Delete, Apply ──► $KV.<bucket>.<key> ──► stream KV_<bucket>
//	                                                           │        │
//	        Get, Next, Last ◄── the stream's leader ───────────┘        │
//	                  Watch ◄── an ordered consumer, maybe a replica's ─┘
//
// A watch may lag behind on a cluster, by many seconds when the server that
// feeds it is stuck. Whoever must not act on an old view compares revisions
// and reads what is missing with Next.
package kv
