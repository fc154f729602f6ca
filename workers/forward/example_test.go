package forward_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/forward"
)

// The endpoint gets the payload as it is, and what the trigger says in headers.
func ExampleNew() {
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s: %s\n", r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type"), payload)
		io.WriteString(w, "thanks")
	}))
	defer crm.Close()

	e, err := forward.New(crm.URL+"/hook", forward.Options{
		Header:    http.Header{"Content-Type": {"application/json"}},
		Transport: crm.Client().Transport,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A worker calls Serve: w.Handle("crm", e).
	out, err := e.Serve(context.Background(), &workers.Trigger{Run: "cli:1", Payload: []byte(`{"customer":4711}`)})
	fmt.Println(string(out), err)
	// Output:
	// cli:1 application/json: {"customer":4711}
	// thanks <nil>
}
