package process

import "runtime"

// Headroom has the garbage collector let so many bytes of garbage gather that it
// would otherwise collect at once, until release is called. A worker that is busy
// makes hundreds of megabytes a second and keeps next to none of it: with Go's own
// measure, a heap twice as large as what is kept, it collects a hundred times a
// second, for a fifth of its processor time. What is set aside for it is never
// written to, so it is no memory until there is garbage.
func Headroom(bytes int) (release func()) {
	ballast := make([]byte, bytes)
	return func() { runtime.KeepAlive(ballast) }
}

// WorkerHeadroom is what a process that runs services is given.
const WorkerHeadroom = 32 << 20
