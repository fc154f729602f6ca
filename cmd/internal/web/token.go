package web

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
)

// Token is somebody who may call, and what they may do.
type Token struct {
	// Name is who it is.
	Name string
	// Scopes are what may be done: "read" looks at runs; "ring" rings every
	// service, "ring:billing" one of them, "ring:billing.*" all below it; and
	// "viewer", "operator" and "admin" are roles.
	Scopes []string
	// Hash is the SHA-256 of the token itself, which nobody keeps. A token is
	// random, so that nothing slower is needed. Sessions are signed with a key
	// made from it: whoever knows the hash can forge one.
	Hash [sha256.Size]byte
}

// tokenPrefix shows people, and scanners of what is published, what it is.
const tokenPrefix = "bellhop_"

// NewToken makes a token at random, and what is kept of it.
func NewToken(name string, scopes []string) (secret string, t Token, err error) {
	if err := workers.CheckChannel(name); err != nil {
		return "", t, fmt.Errorf("name %.40q: use A-Z a-z 0-9 _ -", name)
	}
	for _, s := range scopes {
		if err := checkScope(s); err != nil {
			return "", t, err
		}
	}
	if len(scopes) == 0 {
		return "", t, errors.New("say at least one scope: viewer, operator, admin, ring, ring:SERVICE or read")
	}
	secret = tokenPrefix + rand.Text() + rand.Text()
	return secret, Token{name, scopes, sha256.Sum256([]byte(secret))}, nil
}

// String is the token's line in the file.
func (t Token) String() string {
	return fmt.Sprintf("%s %s sha256:%s", t.Name, strings.Join(t.Scopes, ","), hex.EncodeToString(t.Hash[:]))
}

func checkScope(s string) error {
	service, some := strings.CutPrefix(s, "ring:")
	switch {
	case s == "read" || s == "ring" || roleOf(s) != NoRole:
		return nil
	case some && workers.CheckService(strings.TrimSuffix(service, ".*")) == nil:
		return nil
	}
	return fmt.Errorf("scope %.60q: use viewer, operator, admin, read, ring, ring:SERVICE, or ring:PREFIX.* for all below it", s)
}

// mayRing says whether a scope is enough for a service.
func mayRing(scope, service string) bool {
	only, some := strings.CutPrefix(scope, "ring:")
	if !some {
		return scope == "ring" || roleOf(scope) == Admin
	}
	if below, all := strings.CutSuffix(only, "*"); all {
		return strings.HasPrefix(service, below)
	}
	return only == service
}

// LoadTokens reads the file that BELLHOP_HTTP_TOKENS names: a line for each token,
// with its name, its scopes with commas between, and sha256: and the hash; #
// begins a comment. No name means no tokens. The error is a *config.Error that
// tells the line.
func LoadTokens(path string) ([]Token, error) {
	if path == "" {
		return nil, nil
	}
	refuse := func(format string, args ...any) error {
		return &config.Error{Variable: config.Prefix + "_HTTP_TOKENS", Value: path, Want: fmt.Sprintf(format, args...)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, refuse("name a file that can be read: %v", errors.Unwrap(err))
	}
	var all []Token
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		t, err := parseToken(line)
		if err != nil {
			return nil, refuse("line %d: %v", n, err)
		}
		for _, other := range all {
			if other.Name == t.Name || other.Hash == t.Hash {
				return nil, refuse("line %d: %s has this name or this token already", n, other.Name)
			}
		}
		all = append(all, t)
	}
	if err := lines.Err(); err != nil {
		return nil, refuse("%v", err)
	}
	if len(all) == 0 {
		return nil, refuse("there is no token in it: bellhop token new makes one")
	}
	return all, nil
}

func parseToken(line string) (t Token, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return t, errors.New("write a name, scopes with commas between, and sha256:HASH; bellhop token new makes such a line")
	}
	if workers.CheckChannel(fields[0]) != nil {
		return t, fmt.Errorf("name %.40q: use A-Z a-z 0-9 _ -", fields[0])
	}
	t.Name, t.Scopes = fields[0], strings.Split(fields[1], ",")
	for _, s := range t.Scopes {
		if err := checkScope(s); err != nil {
			return t, err
		}
	}
	text, ok := strings.CutPrefix(fields[2], "sha256:")
	hash, err := hex.DecodeString(text)
	if !ok || err != nil || len(hash) != len(t.Hash) {
		return t, errors.New("the third field is not sha256: and 64 hexadecimal digits; never write the token itself") // which is not shown
	}
	copy(t.Hash[:], hash)
	return t, nil
}

// find gives the token with that secret; nil if there is none. It takes as long
// whichever it is.
func find(tokens []Token, secret string) *Token {
	hash := sha256.Sum256([]byte(secret))
	var found *Token
	for i := range tokens {
		if subtle.ConstantTimeCompare(tokens[i].Hash[:], hash[:]) == 1 {
			found = &tokens[i]
		}
	}
	return found
}
