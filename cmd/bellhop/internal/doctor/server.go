package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/nats-io/nats.go/jetstream"
)

// The versions of nats-server: what Bellhop needs (atomic batches), and since
// when no published weakness is known that concerns it.
var (
	neededServer = []int{2, 12, 1} // 2.12.0 takes no batch of several keys
	soundServer  = []int{2, 14}
)

// minPayload is the least max_payload with which jobs can hold a payload worth
// the name.
const minPayload = 64 << 10

// server looks at the connection and at whom it leads to.
func (d *doctor) server(ctx context.Context) {
	nc := d.link.NC
	rtt, err := nc.RTT()
	if err != nil {
		d.unknown(ctx, "connection", err)
		return
	}
	found, level, do := fmt.Sprintf("%s, round trip %s", nc.ConnectedUrlRedacted(), screen.Short(rtt)), ok, ""
	if rtt > 100*time.Millisecond {
		level, do = warn, "triggers are late by at least as much: bring scheduler and NATS closer together"
	}
	d.report(finding{level, "connection", found, do})
	d.report(version(nc.ConnectedServerVersion()))
	f := finding{ok, "max_payload", fmt.Sprintf("%d bytes, of which payloads may have all but 4 KiB", nc.MaxPayload()), ""}
	if nc.MaxPayload() < minPayload {
		f.Level, f.Do = warn, "raise max_payload in the server's configuration"
	}
	d.report(f)
}

func version(v string) finding {
	f := finding{ok, "server", "nats-server " + v, ""}
	var have []int
	number, _, _ := strings.Cut(v, "-") // what is not released yet has more behind it
	for part := range strings.SplitSeq(number, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			f.Level, f.Do = warn, "this is no version that is known here"
			return f
		}
		have = append(have, n)
	}
	switch {
	case slices.Compare(have, neededServer) < 0:
		f.Level, f.Do = fail, "2.12.1 is needed, for atomic batches; 2.14 or later is better"
	case slices.Compare(have, soundServer) < 0:
		f.Level, f.Do = warn, "versions before 2.14 have known weaknesses: update the server"
	}
	return f
}

// nearlyFull is the part of a limit from which on somebody should look.
const nearlyFull = 0.8

// jetstream looks at the account's limits.
func (d *doctor) jetstream(ctx context.Context) {
	ctx, cancel := d.question(ctx, asking)
	defer cancel()
	account, err := d.link.JS.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		d.report(finding{fail, "jetstream", "it is off", "switch JetStream on in the server's configuration, or for this account"})
		return
	}
	if err != nil {
		d.unknown(ctx, "jetstream", err)
		return
	}
	f := finding{ok, "jetstream", fmt.Sprintf("%s stored%s, %d streams%s, %d consumers",
		bytes(account.Store), limit(account.Limits.MaxStore, bytes(uint64(max(account.Limits.MaxStore, 0)))),
		account.Streams, limit(int64(account.Limits.MaxStreams), strconv.Itoa(account.Limits.MaxStreams)), account.Consumers), ""}
	if most := account.Limits.MaxStore; most > 0 && float64(account.Store) > nearlyFull*float64(most) {
		f.Level, f.Do = warn, "the account is nearly full: raise its limit, or shorten BELLHOP_KEEP"
	}
	d.report(f)
}

func limit(n int64, text string) string {
	if n <= 0 {
		return ""
	}
	return " of " + text
}

// bytes writes a size for people.
func bytes(n uint64) string {
	const unit = 1 << 10
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, prefix := float64(n)/unit, 0
	for ; size >= unit && prefix < 3; prefix++ {
		size /= unit
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGT"[prefix])
}
