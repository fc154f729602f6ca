package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	mostFailures  = 10 // of one address in failureWindow
	failureWindow = time.Minute
	// mostFailing bounds the addresses that are remembered, a few hundred bytes
	// each.
	mostFailing = 4096
)

// failures counts logins that went wrong. A token is too long to be guessed; this
// keeps what tries it from being worth the noise. Behind a proxy, all are one.
type failures struct {
	mu sync.Mutex
	at map[netip.Prefix][]time.Time // the latest of each address, oldest first
}

// note takes note of a login, which failed or not, and tells in how many seconds
// that address may try again; 0 if it may now. Where it may not, the login is not
// to succeed either. Looking and counting are one step, for logins that come
// together.
func (f *failures) note(from netip.Prefix, failed bool, now time.Time) (wait int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	latest := f.at[from]
	for len(latest) > 0 && now.Sub(latest[0]) >= failureWindow {
		latest = latest[1:]
	}
	if len(latest) >= mostFailures {
		left := failureWindow - now.Sub(latest[0])
		return int((left + time.Second - 1) / time.Second)
	}
	if !failed {
		return 0
	}
	if f.at == nil {
		f.at = make(map[netip.Prefix][]time.Time)
	}
	if _, known := f.at[from]; !known && len(f.at) >= mostFailing {
		f.forget(now)
	}
	f.at[from] = append(latest, now)
	return 0
}

// forget makes room: of all that is over, or else of whatever comes first, since
// many addresses must not keep everybody out.
func (f *failures) forget(now time.Time) {
	for from, latest := range f.at {
		if now.Sub(latest[len(latest)-1]) >= failureWindow {
			delete(f.at, from)
		}
	}
	for from := range f.at {
		if len(f.at) < mostFailing {
			return
		}
		delete(f.at, from)
	}
}

// remote is where a request comes from; of IPv6 the network, since one machine
// has as many addresses in it as it likes.
func remote(r *http.Request) netip.Prefix {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // what has none is all one
	a := ap.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
