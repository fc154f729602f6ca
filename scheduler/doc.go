// Package scheduler rings services when their jobs are due.
//
// A job is a definition in a KV bucket: which service, when, with which
// payload. One of the running schedulers leads; it holds every active job in
// an agenda, and appends a trigger to the log for each occurrence, which is
// (job key, due time). The others stand by. [Client] manages jobs over NATS;
// people can as well write into the bucket with the plain nats command.
//
//	bellhop.jobs.<verb> ──► verbs ──compare-and-set──► bucket bellhop-jobs
//	                          ▲                              │ watch
//	                          │ promise kept                 ▼
//	                          │                    book: jobs, agenda (heap)
//	                          │                              │ due
//	                        hand ◄── claims ◄──acked── log ◄─┘ ring
//	                          │                         │
//	                          └─► bellhop.hand          └─► bellhop.trigger.<service> ──► workers
//	                                  └──── stream bellhop-triggers ────┘
//	                clerk: active:false and why, missed records (after the log has it)
//
// # Published exactly once
//
// No lock and no lease decides who may ring. The leader appends by
// compare-and-append: every message carries the sequence that the log must end
// with for it to be stored (log.go). It sends without waiting, but no message
// expects a sequence more than 512 past the last acknowledged one: the window.
//
//	log:  … 41 42 43 ┊ 44 45 46          acknowledged up to 43
//	                   └expects 43┘
//
// Opening the log is leading it (open.go). The opener reads the last hand and
// the last sequence L, and stores one atomic batch of 513 hands that expects L:
// the leap. It is one longer than the window, so whatever an older leader still
// has under way expects a sequence that the log has left behind for good. A
// single hand would not do: sequence numbers can meet by chance.
//
//	old leader, frozen, has under way:   expects L, L+1, … at most L+511
//	opener:      L ┊ hand hand … hand ┊  the log ends at L+513
//
// A refusal or a time-out ends the epoch: nothing more is appended, and the log
// itself tells what is in it. If its last hand is still our own (a stranger has
// written into the log, which is his right) we open it again, else we stand by.
//
// # The hand
//
// The hand is the log's checkpoint (hand.go), in the log itself: each one
// rolls up the one before. It claims only what is acknowledged (claim.go):
// every occurrence up to (time, cursor), of every definition up to a revision
// of the bucket, is in the log at or before seq, or is missed. What follows seq
// is the tail (tail.go). Recovery is: the last hand, then the tail, and an
// occurrence past the hand is due unless the tail holds it. Membership is
// tested, never "after the last one": a definition that was learned late is
// rung out of order.
//
// Counts of max_runs are stored in the state bucket before a hand claims what
// they count (tally.go), and go on with the tail.
//
// # What a reply promises
//
// A change is answered when a hand with its revision, or a later one, is
// acknowledged (promise.go). That hand was appended after the job had left or
// entered the agenda, and whoever leads next fires nothing before its own view
// of the bucket has passed the hand's revision. So when the reply is there, no
// trigger of the old definition follows, through every crash, pause and
// takeover.
//
// # Many at once
//
// A batch (apply.go) is decided as a whole on what the book knows, not on a read for
// each job, and stored as one atomic batch: of up to a thousand puts and deletes all
// take effect or none. The compare-and-set of each message refuses the batch where
// the book knew a job too late; then it is decided anew. One hand confirms it all.
//
// # Who has changed what
//
// What a change was and who has asked for it is stored with the definition, in one
// message (change.go). The leader writes the records from there into a stream of
// their own (chronicle.go), each revision once and in order, those that people put
// into the bucket by hand, too.
//
// # Chains and dead letters
//
// The leader serves two things more, since it is there and has the rights. What
// follows on a run and is a job is rung by it (request.go): it alone knows the
// job's policies. And it lists the dead letters, sends them back to work and
// drops them (bellhop.letters.<verb>, letters.go), which are the workers' own.
//
// # Late and missed
//
// What falls due between a leader's death and its successor's first look is
// late, and fires. What fell due while nobody was there to ring is missed.
// That is judged once, at an opening or when the clock has leapt (lead.go):
// the hand carries the time up to which somebody was there, and from then to
// now less the grace, or to the start of the oldest scheduler still running if
// that is later, is a missed stretch. The decision is written into the hand
// before anything follows from it. In a stretch the job's policy decides: skip,
// once or all.
//
// # Standing by
//
//	standBy ──same hand for 2 s, or released──► openLog ─────────► lead
//	   ▲                                                  │          │
//	   └──────────────── refused ◄────────────────────────┘          │
//	   └──────────────── somebody else's hand ◄──────────────────────┘
//
// The hand is watched and not the log's end, which strangers may move: what
// they publish to bellhop.trigger.<service> reaches the service like any other.
//
// Time is the machine's: wall-clock time names due times and nothing else;
// waiting is measured by the monotonic clock. There is no state per job and per
// tick: a job that waits costs its place in memory.
package scheduler
