package itest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// A paused endpoint that cannot be read is probed like others, one delivery at a
// time, and the others flow.
func TestAPausedEndpointThatCannotBeReadWaitsAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		_, err := p.CreateEndpoint(ctx, endpoint("wh_2"))
		require.NoError(t, err)
		p.exec(t, "update webhook_endpoint set headers = '{' where id = 'wh_1'")
		p.testStore = d.storeOn(t, p.dsn, nil) // one that remembers nothing
		mustEnqueue(t, p, event("evt_2"), event("evt_3"))
		var others int
		var probe *webhook.Leased
		claim := func() {
			t.Helper()
			probe = nil
			for _, l := range p.claim() {
				if l.Target.EndpointID == "wh_2" {
					others++
					p.settle(delivered(l))
					continue
				}
				require.Nil(t, probe, "one at a time")
				probe = &l
			}
		}
		claim()
		assert.Equal(t, 2, others)
		assert.Nil(t, probe, "the pause is not over")
		for range 2 {
			p.pass(pauseLength)
			claim()
			require.NotNil(t, probe)
			require.ErrorIs(t, probe.Target.Err, webhook.ErrUnreadable)
			back := released(*probe)
			back.Delay = time.Second
			p.settle(back)
		}
		assert.Equal(t, []string{"headers"}, p.endpoint().Unreadable)
		assert.Equal(t, webhook.PacePaused, p.endpoint().Pace, "nothing was sent that could tell otherwise")
		mustEnqueue(t, p, event("evt_4"))

		p.exec(t, "update webhook_endpoint set headers = '{}' where id = 'wh_1'")
		p.pass(pauseLength)
		claim()
		require.NotNil(t, probe)
		require.NoError(t, probe.Target.Err)
		p.settle(answered(*probe, webhook.PaceQuick))
		p.pass(time.Hour)
		rest := 0
		for _, l := range p.claim() {
			if l.Target.EndpointID == "wh_1" {
				rest++
				require.NoError(t, l.Target.Err)
			}
			p.settle(delivered(l))
		}
		assert.Equal(t, 3, rest, "of four, one was the probe")
	})
}

// SQLite keeps whatever it is given: what of one endpoint is no number concerns that
// one alone, also where a store looks at many.
func TestAnEndpointWhoseStateCannotBeReadConcernsItselfAlone(t *testing.T) {
	notUnderRace(t)
	for _, column := range []string{"status", "version", "generation", "pace", "moving", "failures", "pauses", "paused_until", "probe_at", "probe_token"} {
		t.Run(column, func(t *testing.T) {
			onEach(t, func(t *testing.T, d database) {
				if d.dialect != sqlstore.SQLite {
					t.Skip("its columns hold nothing else")
				}
				p := paused(t, d) // probes look at wh_1
				for _, id := range []string{"wh_good", "wh_bad", "wh_held"} {
					_, err := p.CreateEndpoint(ctx, endpoint(id))
					require.NoError(t, err)
				}
				mustEnqueue(t, p, event("evt_2"))
				p.exec(t, "update webhook_queue set state = 4 where endpoint = (select num from webhook_endpoint where id = 'wh_held')")
				good := 0
				for i := range 4 {
					p.exec(t, "update webhook_endpoint set "+column+" = 'x' where id <> 'wh_good'")
					p.testStore = d.storeOn(t, p.dsn, nil)
					out, err := p.Enqueue(ctx, webhook.EnqueueRequest{
						Groups: [][]webhook.EventRecord{{event(fmt.Sprint("evt_later_", i))}}, Handoff: terms(100*(i%2), 100),
					})
					require.NoError(t, err)
					require.NoError(t, out.Errs[0])
					all := append(out.Leased, p.claim()...)
					batch := make([]webhook.Settlement, 0, len(all))
					for _, l := range all {
						require.NotNil(t, l.Target)
						st := delivered(l)
						if l.Target.EndpointID != "wh_good" {
							st = released(l)
							st.Delay = time.Second
						}
						batch = append(batch, st)
					}
					settled, err := p.Settle(ctx, batch)
					require.NoError(t, err)
					for j, r := range settled.Results {
						if all[j].Target.EndpointID == "wh_good" {
							good++
							assert.Equal(t, webhook.SettleApplied, r.Status, "%v", r.Err)
						}
					}
					p.pass(2 * pauseLength)
				}
				assert.Equal(t, 5, good)
				_, err := p.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: "a", Limit: 10})
				require.NoError(t, err)
				_, err = p.QueueStats(ctx, "a", "")
				require.NoError(t, err)
			})
		})
	}
}

// An event that is gone takes no part in how many bytes a claim may have: what is
// behind it is handed out.
func TestAnEventThatIsGoneKeepsNoOtherFromBeingClaimed(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		for i := range 6 {
			mustEnqueue(t, s, event(fmt.Sprint("evt_", i)))
		}
		s.exec(t, "delete from webhook_event where id in ('evt_0', 'evt_3')")
		bad, well := 0, 0
		for bad+well < 6 {
			lt := terms(10, 10)
			lt.MaxBytes = 1
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: lt})
			require.NoError(t, err)
			require.NotEmpty(t, c.Deliveries)
			for _, l := range c.Deliveries {
				if l.Err != nil {
					bad++
					continue
				}
				well++
			}
		}
		assert.Equal(t, 2, bad)
		assert.Equal(t, 4, well)
	})
}
