// Package web is a Bellhop over HTTP: REST for programs and a dashboard for eyes,
// as one http.Handler that any main can mount.
//
//	program ──► /api/v1 ──┐                  ┌─► scheduler.Client ──► the leader
//	                      ├─► who may? ──────┤   (every change, every check)
//	browser ──► /ui ──────┘   (Caller)       ├─► index: lists, counts, timelines
//	                                         └─► records: runs, changes, letters
//
// It re-implements no check: what the scheduler refuses is refused, with its own
// words, as a problem document (RFC 9457). What a caller may do is decided by his
// role; who he is, whoever mounts the handler says (Options.Caller), and it is
// recorded with each change.
//
// A job's revision is its ETag, and If-Match makes a change depend on it (RFC
// 9110): 412 where somebody else was faster. Lists go page by page with a cursor.
// Streams of events are server-sent events.
//
// # The pages
//
// Each page is a template with the frame around it, and works without a script but
// for what is live. A region that is (data-live) asks for its own page again when
// the server has told of a change, and takes itself from the answer: there are no
// fragments to keep in step. That is done by htmx 2.0.11, and idiomorph 0.8.0 puts
// the answer in place of what is there without losing the focus; both are served as
// their authors have published them (static/htmx.js and static/idiomorph.js,
// BSD Zero Clause), so that there is no build step and nothing is fetched from
// elsewhere. The Content-Security-Policy allows our own files and nothing else.
package web
