package connect

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats.go"
)

// credentials gives who we are and whom we trust. Every file is read here once,
// so that one that is missing is told by the name of its variable.
func credentials(n config.NATS) ([]nats.Option, error) {
	var opts []nats.Option
	if n.Creds != "" {
		if err := readable("CREDS", n.Creds); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(n.Creds))
	}
	if n.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(n.NKey)
		if err != nil {
			return nil, unusable("NKEY", n.NKey, err)
		}
		opts = append(opts, opt)
	}
	if n.User != "" {
		if _, err := password(n.PasswordFile); err != nil {
			return nil, unusable("PASSWORD_FILE", n.PasswordFile, err)
		}
		opts = append(opts, nats.UserInfoHandler(func() (string, string) {
			pass, _ := password(n.PasswordFile) // gone since: the server will say so
			return n.User, pass
		}))
	}
	if n.TLS.CA != "" {
		if err := readable("TLS_CA", n.TLS.CA); err != nil {
			return nil, err
		}
		opts = append(opts, nats.RootCAs(n.TLS.CA))
	}
	if n.TLS.Cert != "" {
		for variable, path := range map[string]string{"TLS_CERT": n.TLS.Cert, "TLS_KEY": n.TLS.Key} {
			if err := readable(variable, path); err != nil {
				return nil, err
			}
		}
		opts = append(opts, nats.ClientCert(n.TLS.Cert, n.TLS.Key))
	}
	return opts, nil
}

// password reads the password, again for each connection: it may have changed.
func password(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	return strings.TrimRight(string(b), "\r\n"), err
}

func readable(variable, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unusable(variable, path, err)
	}
	return f.Close()
}

// unusable blames a variable for a file. It does not show the file's name where
// a user may have put the secret itself in its place.
func unusable(variable, path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if variable == "NKEY" || variable == "PASSWORD_FILE" {
		path = "…"
	}
	return &config.Error{
		Variable: "BELLHOP_NATS_" + variable, Value: path,
		Want: "name a file that can be used: " + err.Error(),
	}
}
