// Package tokens is bellhop token: who may use what is served over HTTP.
package tokens

import (
	"fmt"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
)

// Commands are what can be typed after "bellhop token".
type Commands struct {
	New New `cmd:"" help:"Make a token, and its line for the file that BELLHOP_HTTP_TOKENS names."`
}

// New is bellhop token new.
type New struct {
	Name  string   `arg:"" help:"Who it is for: logs and idempotency keys go by it."`
	Scope []string `short:"s" required:"" placeholder:"SCOPE" suggest:"viewer,operator,admin,read,ring" help:"What it is for: viewer, operator, admin, read, ring, ring:SERVICE or ring:PREFIX.*."`
}

// Help says what the scopes are.
func (New) Help() string {
	return "viewer looks at everything. operator also runs, activates and deactivates jobs, cancels runs and redrives letters. " +
		"admin also makes, changes and deletes, and rings every service. read looks at runs alone. " +
		"ring rings every service, ring:SERVICE one of them, ring:PREFIX.* all below it."
}

// Run prints the line, and on standard error the token, which is kept nowhere.
func (c *New) Run(s *session.Session) error {
	secret, token, err := web.NewToken(c.Name, c.Scope)
	if err != nil {
		return session.Usage("", "%w", err)
	}
	if _, err := fmt.Fprintln(s.Out, token); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Err, "the token, which is shown only now: %s\n", secret)
	return err
}
