package workers

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// poolModel is what a pool promises, in the plainest form: who waits and who
// runs, by service, and the rules.
type poolModel struct {
	t       *rapid.T
	pool    *pool
	lane    []*lane
	shares  []*share
	running [][]*attempt
	waiting [][]*attempt
}

func newPoolModel(t *rapid.T) *poolModel {
	m := &poolModel{t: t}
	services := rapid.IntRange(1, 6).Draw(t, "services")
	for i := range services {
		s := &share{
			limit:    rapid.SampledFrom([]int{0, 0, 1, 2, 100}).Draw(t, fmt.Sprintf("limit %d", i)),
			priority: rapid.IntRange(-2, 2).Draw(t, fmt.Sprintf("priority %d", i)),
		}
		m.shares = append(m.shares, s)
		m.lane = append(m.lane, &lane{share: s, low: make(chan struct{}, 1)})
	}
	m.running, m.waiting = make([][]*attempt, services), make([][]*attempt, services)
	m.pool = newPool(rapid.IntRange(1, 9).Draw(t, "slots"), m.shares...)
	return m
}

func (m *poolModel) taken() (n int) {
	for _, r := range m.running {
		n += len(r)
	}
	return n
}

// may says whether a service may have one slot more, by the rules as they are
// documented.
func (m *poolModel) may(i int) bool {
	free := m.pool.size - m.taken()
	if free == 0 || len(m.running[i]) >= m.shares[i].limit {
		return false
	}
	if len(m.running[i]) == 0 {
		return true
	}
	kept := 0
	for j := range m.running {
		if j != i && len(m.running[j]) == 0 {
			kept++
		}
	}
	if len(m.shares) > m.pool.size {
		kept = min(kept, 1)
	}
	return free-1 >= kept
}

func (m *poolModel) enter(i int) {
	a := &attempt{share: m.shares[i], lane: m.lane[i]}
	may := m.may(i) && len(m.waiting[i]) == 0
	if got := m.pool.enter(a); got != may {
		m.t.Fatalf("service %d entered: %v, want %v", i, got, may)
	}
	if may {
		m.running[i] = append(m.running[i], a)
	} else {
		m.waiting[i] = append(m.waiting[i], a)
	}
}

// leave ends an attempt of a service and checks whom its slot went to.
func (m *poolModel) leave(i int) {
	m.running[i] = m.running[i][1:]
	next := m.pool.leave(m.shares[i])
	if next == nil {
		return // check looks whether that was right
	}
	j := slices.Index(m.shares, next.share)
	if len(m.waiting[j]) == 0 || next != m.waiting[j][0] {
		m.t.Fatalf("service %d: not the one that waited longest", j)
	}
	if !m.may(j) {
		m.t.Fatalf("service %d got a slot that is not for it", j)
	}
	for k := range m.shares {
		if len(m.waiting[k]) == 0 || !m.may(k) {
			continue
		}
		a, b := m.shares[j], m.shares[k]
		switch {
		case len(m.running[k]) == 0 && len(m.running[j]) > 0:
			m.t.Fatalf("service %d came before %d, which runs nothing", j, k)
		case len(m.running[k]) > 0 && len(m.running[j]) > 0:
			if b.priority > a.priority || b.priority == a.priority && len(m.running[k]) < len(m.running[j]) {
				m.t.Fatalf("service %d came before %d", j, k)
			}
		}
	}
	m.waiting[j] = m.waiting[j][1:]
	m.running[j] = append(m.running[j], next)
}

func (m *poolModel) withdraw(i, which int) {
	a := m.waiting[i][which]
	gone := m.pool.withdraw(m.shares[i], func(b *attempt) bool { return a == b })
	if len(gone) != 1 || gone[0] != a {
		m.t.Fatalf("withdrew %v", gone)
	}
	m.waiting[i] = slices.Delete(slices.Clone(m.waiting[i]), which, which+1)
}

// check is what always holds.
func (m *poolModel) check() {
	if got := m.pool.running(); got != m.taken() || got > m.pool.size {
		m.t.Fatalf("%d slots of %d taken, want %d", got, m.pool.size, m.taken())
	}
	for i, s := range m.shares {
		if s.running != len(m.running[i]) || s.running > s.limit {
			m.t.Fatalf("service %d: runs %d of at most %d, want %d", i, s.running, s.limit, len(m.running[i]))
		}
		if m.lane[i].queued != len(m.waiting[i]) {
			m.t.Fatalf("service %d: %d queued, want %d", i, m.lane[i].queued, len(m.waiting[i]))
		}
		if len(m.waiting[i]) > 0 && m.may(i) {
			m.t.Fatalf("service %d waits, though there is a slot for it", i)
		}
		if len(m.shares) <= m.pool.size && len(m.running[i]) == 0 && !m.may(i) {
			m.t.Fatalf("service %d has no slot kept", i)
		}
		if n, _ := m.pool.room(m.lane[i], 0); n > 0 != m.may(i) {
			m.t.Fatalf("service %d: room for %d, want any: %v", i, n, m.may(i))
		}
	}
}

func TestPoolKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newPoolModel(t)
		service := rapid.IntRange(0, len(m.shares)-1)
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { m.check() },
			"enter": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "times") {
					m.enter(service.Draw(t, "service"))
				}
			},
			"leave": func(t *rapid.T) {
				if i := service.Draw(t, "service"); len(m.running[i]) > 0 {
					m.leave(i)
				}
			},
			"withdraw": func(t *rapid.T) {
				if i := service.Draw(t, "service"); len(m.waiting[i]) > 0 {
					m.withdraw(i, rapid.IntRange(0, len(m.waiting[i])-1).Draw(t, "which"))
				}
			},
		})
		for m.taken() > 0 { // whatever happened, all get through
			for i := range m.shares {
				for len(m.running[i]) > 0 {
					m.leave(i)
					m.check()
				}
			}
		}
	})
}

// room says exactly how many get a slot at once.
func TestPoolRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newPoolModel(t)
		for range rapid.IntRange(0, 20).Draw(t, "before") {
			m.enter(rapid.IntRange(0, len(m.shares)-1).Draw(t, "service"))
		}
		i := rapid.IntRange(0, len(m.shares)-1).Draw(t, "service")
		n, _ := m.pool.room(m.lane[i], 0)
		before := len(m.running[i])
		for range 20 {
			m.enter(i)
		}
		if got := len(m.running[i]) - before; got != n {
			t.Fatalf("%d entered, room said %d", got, n)
		}
	})
}

// Where there are fewer slots than services and all of them always have work, a
// higher priority comes first, and a lower one in the end, too.
func TestPoolStarvesNobody(t *testing.T) {
	for _, slots := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(slots, " slots"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shares := []*share{{priority: 3}, {priority: 3}, {priority: 1}, {}}
				p := newPool(slots, shares...)
				var running []*attempt
				for _, s := range shares {
					for range 1000 {
						if a := (&attempt{share: s}); p.enter(a) {
							running = append(running, a)
						}
					}
				}
				got, last := map[*share]int{}, map[*share]time.Time{}
				for _, s := range shares {
					last[s] = time.Now()
				}
				for range 300 {
					time.Sleep(100 * time.Millisecond)
					a := running[0]
					got[a.share]++
					if next := p.leave(a.share); next != nil {
						running = append(running[1:], next)
						last[next.share] = time.Now()
					} else {
						t.Fatal("a slot is left free")
					}
					for i, s := range shares {
						if d := time.Since(last[s]); s.running == 0 && d > 4*time.Second {
							t.Fatalf("service %d waits since %s", i, d)
						}
					}
				}
				if got[shares[1]] <= got[shares[2]] || got[shares[2]] <= got[shares[3]] || got[shares[3]] == 0 {
					t.Errorf("runs by priority 3, 1, 0: %d, %d, %d", got[shares[1]], got[shares[2]], got[shares[3]])
				}
			})
		})
	}
}

func TestPoolAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &share{}
		p := newPool(1, s)
		first, second, third := &attempt{share: s}, &attempt{share: s}, &attempt{share: s}
		if !p.await(t.Context(), first) {
			t.Fatal("there was a slot")
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan bool, 2)
		go func() { got <- p.await(ctx, second) }()
		synctest.Wait()
		go func() { got <- p.await(t.Context(), third) }()
		synctest.Wait()
		cancel()
		if <-got {
			t.Error("got a slot that there was not")
		}
		if next := p.leave(s); next != nil {
			t.Error("who waits for its turn goes on by itself")
		}
		if !<-got {
			t.Error("did not get the slot")
		}
		p.leave(s)
		if p.running() != 0 {
			t.Error("a slot leaked")
		}
	})
}

// A slot that comes in the moment in which its waiter gives up is not lost.
func TestPoolAwaitAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &share{}
		p := newPool(1, s)
		for range 100 {
			p.await(t.Context(), &attempt{share: s})
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan bool)
			go func() { got <- p.await(ctx, &attempt{share: s}) }()
			synctest.Wait()
			cancel()
			p.leave(s)
			if has := <-got; p.running() > 0 != has {
				t.Fatalf("has a slot: %v, %d are taken", has, p.running())
			} else if has {
				p.leave(s)
			}
		}
	})
}
