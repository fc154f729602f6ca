package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// ErrTarget means that an endpoint's name leads to an address where no request is
// to go: see Options.Allow.
var ErrTarget = errors.New("address not allowed")

// closed are the addresses that nobody outside has any business with, beside
// those that package netip has a word for.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network, RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),  // behind carriers' NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments, RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks, RFC 2544
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, RFC 1112, and broadcast
	netip.MustParsePrefix("64:ff9b::/96"),   // IPv4 within IPv6, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"), // the same for local use, RFC 8215
	netip.MustParsePrefix("2002::/16"),      // 6to4, RFC 3056
	netip.MustParsePrefix("2001::/32"),      // Teredo, RFC 4380
	netip.MustParsePrefix("fec0::/10"),      // site-local, RFC 3879
}

// isPublic says whether an address is one of the Internet's.
func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsInterfaceLocalMulticast() {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// targets are the addresses where requests may go.
type targets struct {
	allowed []netip.Prefix
}

// newTargets reads Options.Allow. What the URL itself names as an address, or as
// localhost, whoever wrote it has allowed by that.
func newTargets(host string, allow []string) (*targets, error) {
	t := new(targets)
	if a, err := netip.ParseAddr(host); err == nil {
		t.add(a)
	}
	if strings.EqualFold(host, "localhost") {
		allow = append(slices.Clip(allow), "127.0.0.0/8", "::1")
	}
	for _, s := range allow {
		a, err := netip.ParseAddr(s)
		if err == nil {
			t.add(a)
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("allow %.60q: use an address or a network, such as 10.0.0.5 or 10.0.0.0/8", s)
		}
		t.allowed = append(t.allowed, p.Masked())
	}
	return t, nil
}

func (t *targets) add(a netip.Addr) {
	a = a.Unmap().WithZone("")
	t.allowed = append(t.allowed, netip.PrefixFrom(a, a.BitLen()))
}

func (t *targets) allows(a netip.Addr) bool {
	if isPublic(a) {
		return true
	}
	a = a.Unmap().WithZone("")
	for _, p := range t.allowed {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// dial connects where it is allowed. It is looked at when a name has become an
// address and just before that is used: no answer of a name server, and no
// redirect, gets round it.
func (t *targets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !t.allows(ap.Addr()) {
			return workers.Permanent(fmt.Errorf("%w: it leads to %s, which is not on the Internet: allow it if that is meant", ErrTarget, address))
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}
