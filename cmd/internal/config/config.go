// Package config reads the configuration of every Bellhop binary. It comes
// from the environment alone, each binary knows the whole table, and whatever
// cannot be right is refused with the variable, its value and what is accepted.
//
// The struct Config is the table: its fields name the variables, their tags
// hold the defaults and the words that -h prints.
package config

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/kelseyhightower/envconfig"
)

// Prefix begins the name of every variable.
const Prefix = "BELLHOP"

// DefaultHTTPAddr is where bellhop up serves HTTP when it is told nothing else.
const DefaultHTTPAddr = "127.0.0.1:8080"

// Config is all that a Bellhop binary can be told.
type Config struct {
	NATS       NATS
	Data       string            `default:"./bellhop-data" desc:"directory of the embedded server's store"`
	Sync       Sync              `default:"always" desc:"when the embedded server syncs to disk: always, or an interval such as 1s"`
	HTTPAddr   string            `split_words:"true" unset:"127.0.0.1:8080 in bellhop up, else empty = off" desc:"address of all that is served over HTTP"`
	HTTPTokens string            `split_words:"true" desc:"file with the tokens of those who may use it; without one only this machine may"`
	HTTPCert   string            `envconfig:"HTTP_TLS_CERT" desc:"file with its certificate, for HTTPS"`
	HTTPKey    string            `envconfig:"HTTP_TLS_KEY" desc:"file with its key"`
	Namespace  workers.Namespace `default:"bellhop" desc:"prefix of all that is kept in NATS"`
	Replicas   int               `default:"1" desc:"copies of the streams and buckets that are made, 1 to 5"`
	Grace      time.Duration     `default:"10s" desc:"what fell due longer ago than this, with no scheduler running, was missed"`
	Keep       time.Duration     `default:"72h" desc:"how long triggers are kept"`
	KeepBytes  Size              `split_words:"true" default:"4GiB" desc:"how much of them is kept at most"`
	History    Count             `unset:"as it is, at first 100" desc:"how many records are kept of each job's runs"`
	HistoryAge Age               `split_words:"true" unset:"as it is, at first 720h" desc:"how long they are kept"`
	Channels   string            `desc:"YAML file of the bridge's channels, for bellhop up and bellhop-bridge"`
	Services   string            `desc:"YAML file of services that are programs or HTTP endpoints, for bellhop up and bellhop-worker"`
}

// NATS says where the NATS server is and how to connect to it.
type NATS struct {
	URL          string `unset:"nats://127.0.0.1:4222; bellhop up: empty = embedded" desc:"server to connect to, or several with commas between"`
	Addr         string `default:"127.0.0.1:4222" desc:"address on which the embedded server listens"`
	Creds        string `desc:"credentials file (JWT and seed)"`
	NKey         string `desc:"file with an nkey's seed"`
	User         string `desc:"user name"`
	PasswordFile string `split_words:"true" desc:"file with the user's password"`
	TLS          TLS
	Context      string `desc:"name or absolute path of a context of the nats command; it says where and how"`
}

// TLS names the files of a TLS connection.
type TLS struct {
	CA   string `desc:"file with the certificates of the authorities to trust"`
	Cert string `desc:"file with the client's certificate"`
	Key  string `desc:"file with the client's key"`
}

// Error is a variable that cannot be right. It never holds a password.
type Error struct {
	// Variable is its name.
	Variable string
	// Value is what it was set to.
	Value string
	// Want says what is accepted, or what to do instead.
	Want string
}

// Error gives all of it in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s=%q: %s", e.Variable, e.Value, e.Want)
}

// Load reads the environment. httpAddr is what BELLHOP_HTTP_ADDR is where it is
// not set; set but empty, it switches HTTP off.
func Load(httpAddr string) (Config, error) {
	if err := checkNames(os.Environ(), variables()); err != nil {
		return Config{}, err
	}
	c := Config{HTTPAddr: httpAddr}
	if err := envconfig.Process(Prefix, &c); err != nil {
		return Config{}, explain(err)
	}
	return c, c.check()
}

// explain says what would have been accepted in place of a value that could
// not be read.
func explain(err error) error {
	parse, ok := errors.AsType[*envconfig.ParseError](err)
	if !ok {
		return fmt.Errorf("read environment: %w", err)
	}
	want := parse.Err.Error()
	switch parse.TypeName {
	case "time.Duration":
		want = wantDuration
	case "int":
		want = wantReplicas
	}
	return &Error{Variable: parse.KeyName, Value: parse.Value, Want: want}
}
