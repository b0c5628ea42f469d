package itest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// damages are ways in which the row of one endpoint cannot be read, as SQL that
// sets columns.
func damages(t *testing.T, s *testStore) map[string]string {
	sealed := s.text(t, "select secrets from webhook_endpoint where id = 'wh_good'")
	all := map[string]string{
		"unknown_key":  `secrets = '` + strings.Replace(sealed, `"key":"k"`, `"key":"gone"`, 1) + `'`,
		"another_row":  `secrets = '` + sealed + `'`,
		"truncated":    `secrets = '` + sealed[:strings.Index(sealed, `"sealed":"`)+len(`"sealed":"`)] + `AAAA"}]'`,
		"no_json":      `secrets = '{'`,
		"no_list":      `secrets = 'null'`,
		"no_secret":    `secrets = '[]'`,
		"empty":        `secrets = ''`,
		"bad_plain":    `secrets = '[{"plain":"whsec_"}]'`,
		"headers":      `headers = '{"A":'`,
		"headers_kind": `headers = '["A"]'`,
	}
	switch s.dialect {
	case sqlstore.SQLite: // it keeps whatever it is given
		all["number"], all["generation"] = `headers = 5`, `generation = 'x'`
	case sqlstore.Postgres:
		s.exec(t, "alter table webhook_endpoint alter column headers drop not null, alter column secrets drop not null")
		all["null_headers"], all["null_secrets"] = `headers = null`, `secrets = null`
	case sqlstore.MySQL:
		s.exec(t, "alter table webhook_endpoint modify headers mediumblob, modify secrets mediumblob")
		all["null_headers"], all["null_secrets"] = `headers = null`, `secrets = null`
	}
	return all
}

func (s *testStore) text(t testing.TB, query string) (text string) {
	t.Helper()
	require.NoError(t, s.db.QueryRow(query).Scan(&text), query)
	return text
}

func sealedStore(t *testing.T, d database, dsn string, keys ...sqlstore.Key) *testStore {
	return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys})
}

// Whatever of one endpoint cannot be read makes that one wait, and nothing else.
func TestAnEndpointThatCannotBeReadConcernsItselfAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := sealedStore(t, d, d.create(t), key("k", 1))
		_, err := s.CreateEndpoint(ctx, endpoint("wh_good"))
		require.NoError(t, err)
		bad := damages(t, s)
		for name, set := range bad {
			_, err := s.CreateEndpoint(ctx, endpoint("wh_"+name))
			require.NoError(t, err)
			s.exec(t, "update webhook_endpoint set "+set+" where id = 'wh_"+name+"'")
		}
		s = sealedStore(t, d, s.dsn, key("k", 1)) // one that remembers nothing
		check := func(all []webhook.Leased) {
			require.Len(t, all, len(bad)+1)
			for _, l := range all {
				require.NotNil(t, l.Event)
				require.NotNil(t, l.Target)
				assert.NoError(t, l.Err)
				if l.Target.EndpointID == "wh_good" {
					require.NoError(t, l.Target.Err)
					assert.NotEmpty(t, l.Target.Secrets)
					continue
				}
				require.ErrorIs(t, l.Target.Err, webhook.ErrUnreadable, l.Target.EndpointID)
				assert.Contains(t, l.Target.Err.Error(), l.Target.EndpointID)
				assert.NotContains(t, l.Target.Err.Error(), "whsec_")
				assert.Equal(t, "a", l.Target.AccountID)
				assert.Empty(t, l.Target.URL)
			}
		}
		out, err := s.Enqueue(ctx, webhook.EnqueueRequest{
			Groups: [][]webhook.EventRecord{{event("evt_1")}}, Handoff: terms(100, 1),
		})
		require.NoError(t, err)
		require.NoError(t, out.Errs[0])
		check(out.Leased)
		mustEnqueue(t, s, event("evt_2"))
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 1)})
		require.NoError(t, err)
		check(c.Deliveries)
		settled, err := s.Settle(ctx, settlements(c.Deliveries))
		require.NoError(t, err)
		for i, r := range settled.Results {
			want := webhook.SettleApplied
			if c.Deliveries[i].Target.EndpointID == "wh_generation" { // which Settle has to compare
				want = webhook.SettleFailed
			}
			assert.Equal(t, want, r.Status, c.Deliveries[i].Target.EndpointID)
		}

		page, err := s.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: "a", Limit: 100})
		require.NoError(t, err)
		require.Len(t, page.Items, len(bad)+1)
		for _, ep := range page.Items {
			assert.Equal(t, ep.ID == "wh_good", len(ep.Unreadable) == 0, ep.ID)
			got, err := s.GetEndpoint(ctx, "a", ep.ID)
			require.NoError(t, err)
			assert.Equal(t, ep.Unreadable, got.Unreadable)
			_, err = s.QueueStats(ctx, "a", ep.ID)
			require.NoError(t, err)
		}
		var listed *sqlstore.UnreadableError
		err = s.Validate(ctx)
		require.ErrorAs(t, err, &listed)
		require.ErrorIs(t, err, webhook.ErrUnreadable)
		require.ErrorIs(t, err, sqlstore.ErrKey)
		assert.Len(t, listed.Endpoints, len(bad))
		assert.Contains(t, err.Error(), fmt.Sprint(len(bad), " endpoints"))
		assert.NotContains(t, err.Error(), "whsec_")

		for name := range bad {
			repair(t, s, "wh_"+name)
		}
		require.NoError(t, s.Validate(ctx))
	})
}

// repair switches an endpoint off and on, which loses nothing, gives it what
// cannot be read anew, and deletes it.
func repair(t *testing.T, s *testStore, id string) {
	rec, err := s.GetEndpoint(ctx, "a", id)
	require.NoError(t, err, id)
	stored := func() (text string) {
		for _, part := range rec.Unreadable {
			if part != "generation" {
				text += s.text(t, "select coalesce("+part+", '') from webhook_endpoint where id = '"+id+"'")
			}
		}
		return text + s.text(t, "select events from webhook_endpoint where id = '"+id+"'")
	}
	before := stored()
	update := func(change func(*webhook.EndpointRecord)) webhook.EndpointRecord {
		r, err := s.GetEndpoint(ctx, "a", id)
		require.NoError(t, err, id)
		change(&r)
		r, err = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: r, Reset: true})
		require.NoError(t, err, id)
		return r
	}
	off := update(func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointInactive })
	assert.Equal(t, webhook.EndpointInactive, off.Status)
	update(func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointActive })
	assert.Equal(t, before, stored(), "%s: what cannot be read stays as it is", id)
	secret := webhook.EndpointSecret{Secret: webhook.NewSecret()}
	well := update(func(r *webhook.EndpointRecord) {
		r.Secrets, r.Headers = []webhook.EndpointSecret{secret}, webhook.Headers{"A": "1"}
	})
	assert.Empty(t, well.Unreadable, id)
	mustEnqueue(t, s, event("evt_after_"+id))
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
	require.NoError(t, err)
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1000, 1000)})
	require.NoError(t, err)
	found := false
	for _, l := range c.Deliveries {
		if l.Target.EndpointID == id && l.Event.ID == "evt_after_"+id {
			found = true
			require.NoError(t, l.Target.Err)
			assert.Equal(t, secret.Secret.Reveal(), l.Target.Secrets[0].Secret.Reveal())
		}
	}
	assert.True(t, found, "%s is still subscribed", id)
	require.NoError(t, s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: id}))
}

// settlements releases what cannot be sent and delivers the rest.
func settlements(all []webhook.Leased) []webhook.Settlement {
	batch := make([]webhook.Settlement, len(all))
	for i, l := range all {
		batch[i] = delivered(l)
		if l.Target.Err != nil || l.Err != nil {
			batch[i].Outcome, batch[i].Attempt, batch[i].Delay = webhook.OutcomeReleased, nil, time.Second
		}
	}
	return batch
}

// An endpoint that is damaged can be deleted and switched off as it is.
func TestADamagedEndpointCanBeDeleted(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := sealedStore(t, d, d.create(t), key("k", 1))
		_, err := s.CreateEndpoint(ctx, endpoint("wh_good"))
		require.NoError(t, err)
		for name, set := range damages(t, s) {
			id := "wh_" + name
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
			s.exec(t, "update webhook_endpoint set "+set+" where id = '"+id+"'")
			require.NoError(t, s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: id}), name)
			_, err = s.GetEndpoint(ctx, "a", id)
			require.ErrorIs(t, err, webhook.ErrNotFound)
		}
		require.NoError(t, s.Validate(ctx))
	})
}

func TestValidateReadsEveryEndpoint(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		s := sealedStore(t, d, d.create(t), key("k", 1))
		const n = 405 // more than two portions
		for i := range n {
			_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", i)))
			require.NoError(t, err)
		}
		require.NoError(t, s.Validate(ctx))
		s.exec(t, "update webhook_endpoint set secrets = '{' where id in ('wh_7', 'wh_404')")
		var bad *sqlstore.UnreadableError
		require.ErrorAs(t, s.Validate(ctx), &bad)
		require.Len(t, bad.Endpoints, 2)
		assert.Equal(t, "wh_404", bad.Endpoints[1].ID)
		assert.Equal(t, "a", bad.Endpoints[1].AccountID)
		assert.Equal(t, []string{"secrets"}, bad.Endpoints[1].Parts)

		changed, err := sealedStore(t, d, s.dsn, key("new", 2), key("k", 1)).ResealSecrets(ctx)
		require.ErrorAs(t, err, &bad)
		assert.Len(t, bad.Endpoints, 2)
		assert.Equal(t, n-2, changed, "all others, though these come between")
	})
}

// An engine that lacks the key of one endpoint delivers to all others, and one
// that has it delivers the rest.
func TestAnEngineWithoutTheKeyOfOneEndpoint(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		right := sealedStore(t, d, dsn, key("new", 2), key("k", 1))
		wrong := sealedStore(t, d, dsn, key("k", 1))
		_, err := right.CreateEndpoint(ctx, endpoint("wh_new"))
		require.NoError(t, err)
		_, err = wrong.CreateEndpoint(ctx, endpoint("wh_old"))
		require.NoError(t, err)

		var log syncBuffer
		sent := &sentTo{}
		engine := func(s *testStore) *webhook.Engine {
			e, err := webhook.New(webhook.Config{Store: s.Store, Transport: sent, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			return e
		}
		e := engine(wrong)
		emit := func() {
			ev, err := webhook.NewEvent("a", "call.completed.test", 1)
			require.NoError(t, err)
			require.NoError(t, e.Emit(ctx, ev))
		}
		emit() // to be claimed
		require.NoError(t, e.Start(ctx))
		emit() // handed off
		require.Eventually(t, func() bool { return sent.count("wh_old") == 2 }, time.Minute, 5*time.Millisecond)
		require.Eventually(t, func() bool { return strings.Contains(log.String(), "wh_new") }, time.Minute, 5*time.Millisecond)
		require.NoError(t, e.Stop(ctx))
		assert.Zero(t, sent.count("wh_new"))
		list, err := e.ListDeliveries(ctx, "a", webhook.DeliveryQuery{EndpointID: "wh_new", Status: webhook.DeliveryPending})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
		for _, del := range list.Items {
			assert.Zero(t, del.Attempts)
		}
		ep, err := e.GetEndpoint(ctx, "a", "wh_new")
		require.NoError(t, err)
		assert.Equal(t, webhook.EndpointActive, ep.Status)
		assert.Zero(t, ep.ConsecutiveFailures)
		assert.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "%s", log.String())

		right.endLeases(t)
		e = engine(right)
		_, err = e.DeliverDue(ctx)
		require.NoError(t, err)
		assert.Equal(t, 2, sent.count("wh_new"))
	})
}

// sentTo counts requests by the end of their URL.
type sentTo struct {
	mu   sync.Mutex
	urls []string
}

func (s *sentTo) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urls = append(s.urls, r.URL)
	return &webhook.Response{StatusCode: 200}, nil
}

func (s *sentTo) count(id string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.urls {
		if strings.HasSuffix(u, "/"+id) {
			n++
		}
	}
	return n
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// An event that is damaged or gone concerns its own deliveries alone.
func TestAnEventThatCannotBeReadConcernsItselfAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		for i := range 5 {
			mustEnqueue(t, s, event(fmt.Sprint("evt_", i)))
		}
		s.exec(t, "delete from webhook_event where id = 'evt_1'")
		switch d.dialect {
		case sqlstore.SQLite:
			s.exec(t, "update webhook_event set created_at = 'x' where id = 'evt_3'")
		case sqlstore.Postgres:
			s.exec(t, "alter table webhook_event alter column data drop not null")
			s.exec(t, "update webhook_event set data = null where id = 'evt_3'")
		case sqlstore.MySQL:
			s.exec(t, "alter table webhook_event modify data longblob")
			s.exec(t, "update webhook_event set data = null where id = 'evt_3'")
		}
		for round := range 2 {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
			require.NoError(t, err)
			bad := 0
			for _, l := range c.Deliveries {
				require.NotNil(t, l.Event)
				require.NoError(t, l.Target.Err)
				if l.Err != nil {
					bad++
					assert.Equal(t, "a", l.Event.AccountID)
					assert.Equal(t, round, l.Releases)
				}
			}
			assert.Equal(t, 2, bad)
			assert.Len(t, c.Deliveries, 5-3*round)
			out, err := s.Settle(ctx, settlements(c.Deliveries))
			require.NoError(t, err)
			for _, r := range out.Results {
				assert.Equal(t, webhook.SettleApplied, r.Status)
			}
			s.endLeases(t)
			_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
		}
		if d.dialect == sqlstore.SQLite {
			s.exec(t, "update webhook_event set at = 'x' where id = 'evt_3'")
			out, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_3")}, []webhook.EventRecord{event("evt_new")}))
			require.NoError(t, err)
			require.ErrorIs(t, out.Errs[0], webhook.ErrIDConflict)
			require.NoError(t, out.Errs[1], "an Emit that shares the call")
		}
	})
}

// What the last failure was is told to people, and no request needs it.
func TestALastFailureThatCannotBeReadStopsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		s.exec(t, "update webhook_endpoint set last_failure = '{'")
		got, err := s.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		assert.Equal(t, []string{"last_failure"}, got.Unreadable)
		assert.Zero(t, got.LastFailure)
		require.NoError(t, s.Validate(ctx))
		mustEnqueue(t, s, event("evt_1"))
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 1)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1)
		require.NoError(t, c.Deliveries[0].Target.Err)
		failed := settlements(c.Deliveries)
		failed[0].Outcome, failed[0].Counts = webhook.OutcomeExhausted, true
		failed[0].Attempt = &webhook.Attempt{ID: "att_1", At: time.Now(), StatusCode: 500, Failure: webhook.FailureHTTPStatus}
		_, err = s.Settle(ctx, failed)
		require.NoError(t, err)
		got, err = s.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		assert.Empty(t, got.Unreadable)
		assert.Equal(t, 500, got.LastFailure.StatusCode)
	})
}
