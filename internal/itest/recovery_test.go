package itest

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// What a process held when it was killed, in flight and in memory, handed off and
// claimed, is sent by another one within 20 s with the default AttemptTimeout. The
// other one is started after the kill, or was there before.
func TestWhatAKilledProcessHeldIsSentSoon(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	timeout := time.Second
	if long() {
		timeout = 10 * time.Second
	}
	const holders = "select count(distinct process) from webhook_lease where process <> 0"
	const leased = "select count(*) from webhook_delivery where status = 1"
	onEach(t, func(t *testing.T, d database) {
		for _, c := range []struct {
			name    string
			before  bool
			holders int64 // processes that have leased something
		}{{"by a process that is there", true, 2}, {"by the next one", false, 1}} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := newParent(t, d)
				p.s = p.d.storeOn(t, p.dsn, nil)
				p.s.db.SetMaxOpenConns(8)
				next := func() {
					e, err := newEngine(p.s, func(c *webhook.Config) {
						c.AttemptTimeout, c.Lease = timeout, time.Minute
					})
					require.NoError(t, err)
					require.NoError(t, e.Start(ctx))
					t.Cleanup(func() { assert.NoError(t, e.Stop(ctx)) })
				}
				if c.before {
					next()
				}
				p.r.mu.Lock()
				release := make(chan bool)
				p.r.onSend = func(string) { <-release } // under its lock: the first request, and then all
				p.r.mu.Unlock()
				var killed time.Time
				require.True(t, p.child(orders{Story: "hold", AttemptTimeout: timeout}, func(proc *os.Process) {
					for deadline := time.Now().Add(time.Minute); p.s.number(t, holders) < c.holders && time.Now().Before(deadline); {
						time.Sleep(10 * time.Millisecond)
					}
					time.Sleep(300 * time.Millisecond) // chance is the point
					killed = time.Now()
					_ = proc.Kill()
				}))
				close(release)
				if !c.before {
					next()
				}
				held := p.s.number(t, leased)
				require.Positive(t, held)
				for p.s.unfinished(t) > 0 {
					require.Less(t, time.Since(killed), time.Minute, "it is not sent")
					time.Sleep(10 * time.Millisecond)
				}
				took := time.Since(killed)
				t.Logf("%d deliveries were held, all were sent after %v", held, took)
				// 20 s in virtual time, by the engine's own test; here a machine may be slow.
				assert.LessOrEqual(t, took, 30*time.Second)
			})
		}
	})
}
