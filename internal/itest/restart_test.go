package itest

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// F12, E2, E3: the database's server is killed twice while an engine emits and
// delivers, and started again. Nothing is lost, no event is doubled, and the
// engine goes on by itself, without the help of endLeases.
func TestTheEngineOutlivesADatabaseThatIsKilled(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	for i, private := range []func(testing.TB) *server{privatePostgres, privateMariaDB} {
		d := databases[1+i]
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			srv := private(t)
			d.create = func(testing.TB) string { return srv.dsn }
			p := newParent(t, d)
			p.look()
			p.s.db.SetMaxOpenConns(8)
			for _, id := range childEndpoints[:3] {
				_, err := p.s.CreateEndpoint(ctx, childEndpoint(id, p.r.URL))
				require.NoError(t, err)
			}
			e, err := newEngine(p.s, func(c *webhook.Config) {
				c.AttemptTimeout, c.StoreTimeout, c.Lease = 500*time.Millisecond, time.Second, 2*time.Second
			})
			require.NoError(t, err)
			require.NoError(t, e.Start(ctx))
			p.emitWhileItDies(e, srv)
			for deadline := time.Now().Add(time.Minute); p.unfinished() > 0; {
				require.True(t, time.Now().Before(deadline), "the engine did not resume")
				time.Sleep(10 * time.Millisecond)
			}
			require.NoError(t, e.Stop(ctx))
			p.s.db.SetMaxOpenConns(1)
			p.look("wh_ok", "wh_flaky")
			p.verdict()
			assert.Len(t, p.deliveries("wh_ok"), len(p.acked))
		})
	}
}

// emitWhileItDies emits 600 events, each until it is acknowledged. At two of them
// the server goes down: killed, and then by SIGQUIT, which PostgreSQL takes as
// "stop -m immediate" and MariaDB as an orderly end.
func (p *parent) emitWhileItDies(e *webhook.Engine, srv *server) {
	up, refused := make(chan error, 1), 0
	up <- nil
	signals := map[int]syscall.Signal{200: syscall.SIGKILL, 400: syscall.SIGQUIT}
	for i := range 600 {
		n := i*rareEvery + 1
		ev, err := webhook.NewEvent("a", "custom.thing", json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)))
		require.NoError(p.t, err)
		ev.ID = fmt.Sprintf("evt_%d", n)
		if sig, now := signals[i]; now {
			require.NoError(p.t, <-up)
			p.died++
			go func() {
				srv.kill(sig)
				up <- srv.start()
			}()
		}
		for err = e.Emit(ctx, ev); err != nil; err = e.Emit(ctx, ev) {
			refused++
			time.Sleep(10 * time.Millisecond) // spares the processor, no more
		}
		p.acked[n] = true
	}
	require.NoError(p.t, <-up)
	assert.Positive(p.t, refused, "nothing was emitted while the server was down")
	p.t.Logf("%d events, %d crashes of the server, %d calls of Emit failed", len(p.acked), p.died, refused)
}

// unfinished counts what an engine has yet to do.
func (p *parent) unfinished() int {
	q, err := p.s.QueueStats(ctx, "", "")
	require.NoError(p.t, err)
	return unfinished(q)
}
