package forward

import "testing"

// TestNoProxy looks inside, for net/http never uses a proxy for a server on
// this machine, whatever it is told.
func TestNoProxy(t *testing.T) {
	if newTransport(new(targets)).Proxy != nil {
		t.Error("the transport looks for a proxy in the environment")
	}
}
