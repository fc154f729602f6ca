package bench

import (
	"os"
	"runtime/pprof"
	"sync"
)

// profile is a CPU profile of this process, none if it was not started.
type profile struct {
	mu   sync.Mutex
	file *os.File
}

// start begins it; it is whole when it was stopped.
func (p *profile) start(path string) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file, err = os.Create(path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.file)
}

// restart forgets what there is of it so far.
func (p *profile) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return
	}
	pprof.StopCPUProfile()
	if _, err := p.file.Seek(0, 0); err == nil && p.file.Truncate(0) == nil {
		_ = pprof.StartCPUProfile(p.file) // it was stopped above
	}
}

func (p *profile) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	pprof.StopCPUProfile()
	_ = p.file.Close() // it was written, or is short
	p.file = nil
}
