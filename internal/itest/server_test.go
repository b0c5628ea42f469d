package itest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server is a database server of a test's own, with its files in a temporary
// directory and on a free port, so that the test may kill it.
type server struct {
	t      testing.TB
	driver string
	dsn    string
	path   string
	args   []string
	attr   *syscall.SysProcAttr
	log    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has
}

// privatePostgres makes a PostgreSQL, or skips the test where there is none.
func privatePostgres(t testing.TB) *server {
	bin := found(t, "/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres", "/usr/local/pgsql/bin/postgres", "/opt/homebrew/opt/postgresql*/bin/postgres")
	dir, port := privateDir(t, "postgres"), freePort(t)
	s := &server{
		t: t, driver: "pgx", path: bin, log: filepath.Join(dir, "log"), attr: ownerOf(t, dir),
		dsn:  fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port),
		args: []string{"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="},
	}
	s.setUp(filepath.Join(filepath.Dir(bin), "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
	return s
}

// privateMariaDB makes a MariaDB, or skips the test where there is none.
func privateMariaDB(t testing.TB) *server {
	bin := found(t, "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/opt/homebrew/bin/mariadbd")
	install := found(t, "/usr/bin/mariadb-install-db", "/usr/local/bin/mariadb-install-db", "/opt/homebrew/bin/mariadb-install-db")
	dir, port := privateDir(t, "mysql"), freePort(t)
	data := "--datadir=" + filepath.Join(dir, "data")
	s := &server{
		t: t, driver: "mysql", path: bin, log: filepath.Join(dir, "log"), attr: ownerOf(t, dir),
		dsn: fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql", port),
		args: []string{
			"--no-defaults", data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
			"--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=64M",
		},
	}
	s.setUp(install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db")
	return s
}

// found returns the last file that matches any of the patterns: the newest
// version. .ci/databases installs what is asked for here, unless the servers run
// already: then they may be elsewhere, in containers, and that is no failure.
func found(t testing.TB, patterns ...string) string {
	t.Helper()
	for _, p := range patterns {
		if files, _ := filepath.Glob(p); len(files) > 0 {
			return files[len(files)-1]
		}
	}
	t.Skipf("skipped: no %s on this machine, so that none can be killed", filepath.Base(patterns[0]))
	return ""
}

// privateDir makes a directory; where root runs the test it belongs to the user
// under which the server's package runs it, since it refuses to run as root.
func privateDir(t testing.TB, owner string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "webhook")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		u, err := user.Lookup(owner)
		if err != nil {
			t.Skipf("skipped: the server must not run as root, and there is no user %s", owner)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		require.NoError(t, os.Chown(dir, uid, gid))
	}
	return dir
}

// ownerOf makes a process run as the owner of a directory.
func ownerOf(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// setUp makes the server's files and starts it.
func (s *server) setUp(name string, args ...string) {
	s.t.Helper()
	out, err := s.command(name, args...).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
	require.NoError(s.t, s.start())
	s.t.Cleanup(func() { s.kill(syscall.SIGKILL) })
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.SysProcAttr = filepath.Dir(s.log), s.attr
	return cmd
}

// start returns once the server answers. It is started again when it ends by
// itself: PostgreSQL does while processes of the one that was killed are left.
func (s *server) start() error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err := s.launch(); err != nil {
			return err
		}
		for s.running() && time.Now().Before(deadline) {
			if s.answers() {
				return nil
			}
		}
	}
	text, _ := os.ReadFile(s.log)
	return fmt.Errorf("%s does not start\n%s", s.path, text)
}

func (s *server) launch() error {
	log, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd, ended := s.command(s.path, s.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return nil
}

func (s *server) running() bool {
	select {
	case <-s.ended:
		return false
	case <-time.After(20 * time.Millisecond):
		return true
	}
}

func (s *server) answers() bool {
	db, err := sql.Open(s.driver, s.dsn)
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return db.PingContext(ctx) == nil
}

// kill returns once the server is gone.
func (s *server) kill(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig)
	<-s.ended
}
