package command_test

import (
	"context"
	"fmt"
	"os"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
)

// A program reads its payload from standard input, and its trigger from the
// environment.
func ExampleNew() {
	p, err := command.New([]string{"tr", "a-z", "A-Z"}, command.Options{Env: os.Environ()})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A worker calls Serve: w.Handle("shout", p).
	out, err := p.Serve(context.Background(), &workers.Trigger{Payload: []byte("hello")})
	fmt.Println(string(out), err)
	// Output: HELLO <nil>
}

// A line of shell is a program, too. Its exit status is the outcome, what it
// says on standard error is the error's text.
func ExampleShell() {
	p, err := command.New(command.Shell(`
		read -r customer
		echo "$TRIGGER_JOB: no customer $customer" >&2
		exit 65 # in vain, however often it is tried
	`), command.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = p.Serve(context.Background(), &workers.Trigger{Job: "Nightly=20bill", Payload: []byte("4711\n")})
	fmt.Println(err)
	fmt.Println("permanent:", workers.IsPermanent(err))
	// Output:
	// exit status 65: Nightly bill: no customer 4711
	// permanent: true
}
