package completion

import (
	"embed"
	"fmt"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
)

//go:embed bellhop.bash bellhop.zsh bellhop.fish
var scripts embed.FS

// Script is bellhop completion.
type Script struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how to use it.
func (Script) Help() string {
	return "For good: put \"source <(bellhop completion bash)\" into ~/.bashrc, the same with zsh into ~/.zshrc, " +
		"or \"bellhop completion fish | source\" into ~/.config/fish/config.fish."
}

// Run prints the script.
func (c *Script) Run(s *session.Session) error {
	b, err := scripts.ReadFile("bellhop." + c.Shell)
	if err != nil {
		return fmt.Errorf("read script: %w", err) // kong lets no other shell pass
	}
	_, err = s.Out.Write(b)
	return err
}
