package itest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlinbox"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// behindPgBouncer starts a PgBouncer in transaction mode, with few connections to the
// server, and returns a data source that goes through it.
func behindPgBouncer(t testing.TB, dsn string) *url.URL {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("pgbouncer is missing, and CI is set: the test must run")
		}
		t.Skip("skipped: pgbouncer is missing")
	}
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())

	dir := t.TempDir()
	login := "user=" + u.User.Username()
	if password, ok := u.User.Password(); ok {
		login += " password=" + password
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
`, u.Hostname(), u.Port(), login, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	cmd := exec.Command(binary, file)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if os.Getuid() == 0 { // it does not run as root
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
		require.NoError(t, err)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
			require.NoError(t, os.Chmod(at, 0o755))
		}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", u.Host)
		if err == nil {
			_ = conn.Close()
			return u
		}
		require.True(t, time.Now().Before(deadline), "pgbouncer does not listen")
	}
}

// The parameter that each driver needs there, as docs/operating.md says.
var bouncedDrivers = []struct{ driver, name, value string }{
	{"pgx", "default_query_exec_mode", "exec"},
	{"postgres", "binary_parameters", "yes"},
	{"pg", "sslmode", "disable"}, // nothing
}

func TestStoreAndInboxWorkBehindPgBouncer(t *testing.T) {
	for _, b := range bouncedDrivers {
		t.Run(b.driver, func(t *testing.T) {
			t.Parallel()
			u := behindPgBouncer(t, createPostgres(t))
			q := u.Query()
			q.Set("sslmode", "disable")
			q.Set(b.name, b.value)
			u.RawQuery = q.Encode()
			d := database{name: b.driver, dialect: sqlstore.Postgres, driver: b.driver}
			s := d.storeOn(t, u.String(), nil)
			_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
			require.NoError(t, err)

			// More clients than connections, so that each statement meets another session.
			const clients, rounds = 8, 10
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for n := range rounds {
						_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event(fmt.Sprintf("evt_%d_%d", c, n))}))
						assert.NoError(t, err)
						claimed, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(5, 5)})
						assert.NoError(t, err)
						batch := make([]webhook.Settlement, len(claimed.Deliveries))
						for i, l := range claimed.Deliveries {
							batch[i] = delivered(l)
						}
						_, err = s.Settle(ctx, batch)
						assert.NoError(t, err)
						_, err = s.GetEvent(ctx, "a", fmt.Sprintf("evt_%d_%d", c, n))
						assert.NoError(t, err)
					}
				})
			}
			wg.Wait()
			assert.EqualValues(t, clients*rounds, s.number(t, "select count(*) from webhook_delivery"))

			i, err := sqlinbox.New(s.db, sqlinbox.Postgres, nil)
			require.NoError(t, err)
			require.NoError(t, i.Migrate(ctx))
			r := inboxReceiver(t, &testInbox{Inbox: i, testStore: s})
			for n := range rounds {
				assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, fmt.Sprintf("evt_%d", n))))
			}
			assert.EqualValues(t, rounds, s.number(t, "select count(*) from webhook_inbox"))
		})
	}
}
