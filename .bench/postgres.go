package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresSettings are those that every introduction to PostgreSQL changes first:
// it is set up for a very small machine, and would write checkpoints all the time.
var postgresSettings = []string{"shared_buffers=256MB", "max_wal_size=2GB"}

// servePostgres starts a PostgreSQL of its own.
func servePostgres(ctx context.Context, at Site, commit string) (*Process, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	data := at.Path("data")
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		if err := initPostgres(ctx, bin, data, as); err != nil {
			return nil, err
		}
	}
	args := []string{"-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(at.Port), "-k", data, "-c", "synchronous_commit=" + commit}
	for _, s := range postgresSettings {
		args = append(args, "-c", s)
	}
	// Whom a killed server leaves behind go a moment after it, and no other may
	// start before that.
	for end := time.Now().Add(readyWithin); ; {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		p, err := start(at, "postgres", cmd)
		if err != nil {
			return nil, err
		}
		err = p.awaitAnswer(ctx, func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, postgresURL(at))
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		})
		if !errors.Is(err, errEnded) || time.Now().After(end) {
			return p, err
		}
	}
}

func postgresURL(at Site) string {
	return fmt.Sprintf("postgres://bench@%s/postgres?sslmode=disable", at.Addr())
}

// initPostgres makes the data directory.
func initPostgres(ctx context.Context, bin, data string, as *syscall.Credential) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if as != nil {
		if err := os.Chown(data, int(as.Uid), int(as.Gid)); err != nil {
			return fmt.Errorf("give the data directory away: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	cmd.Dir = data // one that it may enter
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// postgresBin is where the server's programs are: Debian keeps them out of the
// path, for each version its own.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", missing("PostgreSQL", "postgresql")
	}
	return filepath.Dir(slices.Max(found)), nil
}

// unprivileged is whom PostgreSQL runs as, for it refuses to be root; nil where
// we are not.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find whom PostgreSQL could run as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
