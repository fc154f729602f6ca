package command

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"
)

// group is a program that runs and all that it has started, as far as the
// system keeps them together: see the files for each system.
type group struct{ cmd *exec.Cmd }

// newGroup has a command that is not yet started begin a group of its own.
func newGroup(cmd *exec.Cmd) *group {
	separate(cmd)
	return &group{cmd}
}

// kill ends the group at once. It may be called when the program has ended: as
// long as anybody is left in the group its number is not given to another.
func (g *group) kill() { kill(g.cmd.Process) }

// stop tells the group to end, and kills it when it takes longer than grace.
func (g *group) stop(grace time.Duration) *stopping {
	terminate(g.cmd.Process)
	return &stopping{g.cmd.Process, time.Now().Add(grace), time.AfterFunc(grace, g.kill)}
}

// stopping is a group that was told to end.
type stopping struct {
	process  *os.Process
	deadline time.Time
	killing  *time.Timer
}

// wait returns when the group is empty, or its time is over. The program itself
// has ended; what it has started may still tidy up. There is nothing to wait on,
// so this looks again and again.
func (s *stopping) wait() {
	defer s.killing.Stop()
	const most = 50 * time.Millisecond
	for pause := time.Millisecond; alive(s.process) && time.Now().Before(s.deadline); pause = min(2*pause, most) {
		time.Sleep(pause)
	}
}

// groups are those that run. Who kills them all leaves none behind that is just
// starting, and lets none start any more.
type groups struct {
	starting sync.RWMutex // held while a group starts, and by who kills all
	killed   bool

	mu  sync.Mutex
	all map[*group]bool
}

var errKilled = errors.New("all programs were killed")

// start starts a group and keeps it until it is removed.
func (s *groups) start(g *group) error {
	s.starting.RLock()
	defer s.starting.RUnlock()
	if s.killed {
		return errKilled
	}
	if err := g.cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*group]bool)
	}
	s.all[g] = true
	return nil
}

func (s *groups) remove(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, g)
}

func (s *groups) kill() {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.killed = true
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.all {
		g.kill()
	}
}
