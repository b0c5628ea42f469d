package rows

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

var ctx = context.Background()

// FuzzRows reads rows that no store wrote: somebody changed them by hand, another
// program did, or a backup came back damaged. Whatever stands there, the answer is
// a record or an error, without a panic, and no error shows a secret.
func FuzzRows(f *testing.F) {
	good := webhook.NewSecret().Reveal()
	for _, seed := range [][4]string{
		{`["*"]`, `{"a":"b"}`, `{"X-A":"b"}`, `[{"secret":"` + good + `"}]`},
		{`["call.*","a"]`, `null`, `{}`, `[{"secret":"` + good + `","expires_at":9000000000000000000}]`},
		{``, ``, ``, ``},
		{`{}`, `[]`, `{"X-A":1}`, `[]`},
		{`[1]`, `{"a":null}`, `{"":""}`, `[{"s":"whsec_!!"}]`},
		{`["` + strings.Repeat("a", 300) + `"]`, `{"a":"\ud800"}`, "\x00\xff", `[null,{}]`},
		{strings.Repeat("[", 200), `{`, `"`, `[{"secret":"` + good[:20] + `"}]`},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], "1", int64(1), int64(1), []byte("0123456789abcdef"))
	}
	f.Add("", "", "", "", "-1", int64(-1), int64(1)<<62, []byte("short"))
	db, err := sql.Open("sqlite3", ":memory:") // in C: coverage of a database would lead the fuzzer astray
	require.NoError(f, err)
	f.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, opts := range []*sqlstore.Options{nil, {Keys: sqlstore.SingleKey(make([]byte, 32)), TablePrefix: "sealed_"}} {
		s, err := sqlstore.New(db, sqlstore.SQLite, opts)
		require.NoError(f, err)
		require.NoError(f, s.Migrate(ctx))
		_, err = s.CreateEndpoint(ctx, webhook.EndpointCreate{Record: webhook.EndpointRecord{
			Endpoint: webhook.Endpoint{
				ID: "wh_1", AccountID: "a", URL: "https://example.com/", Events: []webhook.EventType{"*"}, Status: webhook.EndpointActive,
			},
			Secrets: []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
		}})
		require.NoError(f, err)
	}
	f.Fuzz(func(t *testing.T, events, metadata, headers, secrets, cursor string, status, at int64, id []byte) {
		for prefix, opts := range map[string]*sqlstore.Options{"webhook_": nil, "sealed_": {Keys: sqlstore.SingleKey(make([]byte, 32)), TablePrefix: "sealed_"}} {
			s, err := sqlstore.New(db, sqlstore.SQLite, opts) // without what another one has in its caches
			require.NoError(t, err)
			_, err = db.Exec("update "+prefix+"endpoint set events = ?, metadata = ?, headers = ?, secrets = ?, status = ?, disabled_at = ?, created_at = ?, last_success_at = ?",
				events, metadata, headers, secrets, status, at, at, at)
			require.NoError(t, err)
			readRows(t, s, secrets, cursor, string(id))
		}
	})
}

// readRows asks for everything that reads rows, with ids and cursors that are as
// strange as the rows.
func readRows(t *testing.T, s *sqlstore.Store, secrets, cursor, id string) {
	check := func(err error) {
		if err != nil && len(secrets) > 8 && strings.Contains(err.Error(), secrets) {
			t.Fatalf("the error shows what stands in the row: %v", err)
		}
	}
	rec, err := s.GetEndpoint(ctx, "a", "wh_1")
	check(err)
	if err == nil {
		for _, sec := range rec.Secrets {
			if text := sec.Secret.Reveal(); text != "" {
				_, err := webhook.RestoreSecret(text)
				require.NoError(t, err, "a secret that is not one")
			}
		}
	}
	_, err = s.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: "a", Limit: 10})
	check(err)
	_, err = s.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: "a", Cursor: cursor, Limit: 10})
	check(err)
	_, err = s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", DeliveryID: id, Cursor: cursor, Limit: 10})
	check(err)
	_, err = s.ListAttempts(ctx, "a", id)
	check(err)
	_, err = s.Replay(ctx, webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_1", Cursor: cursor, Limit: 10})
	check(err)
	r, err := s.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{{
		ID: "evt_1", AccountID: "a", Type: webhook.EventCallCompleted, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: []byte("{}"),
	}}}})
	check(err)
	if err == nil {
		check(r.Errs[0])
	}
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 10})
	check(err)
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: webhook.LeaseTerms{Max: 10, Room: open{}, Lease: time.Hour}, Cursor: cursor})
	check(err)
	for _, l := range c.Deliveries {
		_, err := s.Settle(ctx, []webhook.Settlement{{
			DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: l.Target.EndpointID, Generation: l.Target.Generation, Outcome: webhook.OutcomeReleased,
		}})
		check(err)
	}
}

// open is a [webhook.Room] that takes everything.
type open struct{}

// Take implements [webhook.Room].
func (open) Take(_ webhook.Candidate, n int) int { return n }

// Reset implements [webhook.Room].
func (open) Reset() {}
