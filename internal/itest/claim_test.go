package itest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// A claim that has leased deliveries, and then cannot read them, gives them back:
// they do not wait for the end of a lease that nobody holds.
func TestAClaimThatCannotReadGivesBack(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"), event("evt_2"))
		broken := errors.New("no events today")
		unlucky := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
			if strings.Contains(query, ".data") && strings.Contains(query, "select") || strings.Contains(query, ", data from") {
				return broken
			}
			return nil
		}})
		c, err := unlucky.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.Error(t, err)
		require.Empty(t, c.Deliveries)
		q, err := s.QueueStats(ctx, "", "")
		require.NoError(t, err)
		assert.Equal(t, 0, q.Leased)
		assert.Equal(t, 2, q.Ready+q.Waiting)
		s.endLeases(t)
		c, err = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 2)
		for _, l := range c.Deliveries {
			assert.Zero(t, l.Attempts)
		}
	})
}

// A claim that can neither read what it leased nor give it back returns: the
// leases end by themselves.
func TestAClaimReturnsThoughNothingCanBeGivenBack(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("skipped: no table can be locked")
		}
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"))
		conn, err := s.db.Conn(ctx)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		lock, unlock := []string{"begin", "lock table webhook_queue in access exclusive mode"}, "rollback"
		if d.dialect == sqlstore.MySQL {
			lock, unlock = []string{"lock tables webhook_queue write"}, "unlock tables"
		}
		short, cancel := context.WithCancel(ctx)
		defer cancel()
		unlucky := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
			if !strings.Contains(query, ".data") && !strings.Contains(query, ", data from") {
				return nil
			}
			for _, text := range lock {
				if _, err := conn.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			cancel()
			return short.Err()
		}})
		done := make(chan error, 1)
		go func() {
			_, err := unlucky.Claim(short, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
			done <- err
		}()
		select {
		case err = <-done:
			require.Error(t, err)
		case <-time.After(20 * time.Second):
			t.Error("it waits for the table")
		}
		_, err = conn.ExecContext(ctx, unlock)
		require.NoError(t, err)
	})
}

// ending is room for so many deliveries, whatever their endpoints.
type ending struct{ left, most int }

func (r *ending) Take(_ webhook.Candidate, n int) int {
	n = min(n, r.left)
	r.left -= n
	return n
}

func (r *ending) Reset() { r.left = r.most }

// One claim visits 1,000 endpoints, so that a round of all takes several, each of which
// ends for want of room.
func TestRoundsOfMoreEndpointsThanOneClaimVisits(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		if d.name == "mysql" && !long() {
			t.Skip("skipped: 1,150 endpoints take a while; WEBHOOK_TEST_LONG=1 and make long run it")
		}
		s := d.store(t)
		const endpoints, room = 1150, 50
		for i := range endpoints {
			_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", i)))
			require.NoError(t, err)
		}
		mustEnqueue(t, s, event("evt_1"), event("evt_2"), event("evt_3"))
		served, cursor, claims := map[string]bool{}, "", 0
		for ; len(served) < endpoints; claims++ {
			require.Less(t, claims, 3*endpoints/room+10, "%d endpoints have not had a turn", endpoints-len(served))
			r := &ending{left: room, most: room}
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: webhook.LeaseTerms{Max: 1000, Lease: time.Hour, Room: r}, Cursor: cursor})
			require.NoError(t, err)
			require.Len(t, c.Deliveries, room)
			cursor = c.Cursor
			for _, l := range c.Deliveries {
				served[l.Target.EndpointID] = true
			}
		}
		t.Logf("%d claims", claims)
	})
}
