package itest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/dedupetest"
	"github.com/ringyo-ai/webhook/receive"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func inboxOf(t testing.TB, s *testStore) *sqlstore.Inbox {
	t.Helper()
	i, err := s.Inbox(0)
	require.NoError(t, err)
	return i
}

func TestInboxKeepsTheContractOfADeduper(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p, owner := &pool{database: d, free: []string{d.create(t)}}, t // or skips
		dedupetest.Run(t, dedupetest.Harness{New: func(t *testing.T) (receive.Deduper, func(time.Duration)) {
			s := p.store(t, owner)
			return inboxOf(t, s), func(by time.Duration) { s.rewind(t, by) }
		}})
	})
}

var inboxSecret = webhook.NewSecret()

// inboxRequest is a request of the sender.
func inboxRequest(t testing.TB, id string) *http.Request {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"event":"credits.low","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"balance":1,"threshold":2}}`, id)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	require.NoError(t, webhook.StandardSigner().Sign(r.Header, webhook.Message{ID: id, Timestamp: time.Now(), Body: []byte(body)}, inboxSecret))
	return r
}

func inboxReceiver(t testing.TB, i *sqlstore.Inbox) *receive.Receiver {
	t.Helper()
	r, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{inboxSecret}, Deduper: i, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return r
}

func answer(h http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// effects makes the handler's own table and returns what writes to it.
func effects(t testing.TB, s *testStore) func(tx *sql.Tx, e webhook.Event) error {
	t.Helper()
	s.exec(t, "create table effect (num bigint not null)")
	return func(tx *sql.Tx, _ webhook.Event) error {
		_, err := tx.Exec("insert into effect (num) values (1)")
		return err
	}
}

func TestInboxGivesFiftyConcurrentDuplicatesOneEffect(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i, apply := inboxOf(t, s), effects(t, s)
		r := inboxReceiver(t, i)
		var calls atomic.Int32
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			calls.Add(1)
			return i.InTx(ctx, func(tx *sql.Tx) error { return apply(tx, e) })
		})
		var wg sync.WaitGroup
		for range 50 {
			req := inboxRequest(t, "evt_1")
			wg.Go(func() {
				code := answer(r, req)
				assert.Contains(t, []int{http.StatusOK, http.StatusConflict, http.StatusServiceUnavailable}, code)
			})
		}
		wg.Wait()
		assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")), "a later retry")
		assert.EqualValues(t, 1, calls.Load())
		assert.EqualValues(t, 1, s.number(t, "select count(*) from effect"))
	})
}

func TestInboxRollsWorkAndMarkBackTogether(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i, apply := inboxOf(t, s), effects(t, s)
		r := inboxReceiver(t, i)
		calls := 0
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			return i.InTx(ctx, func(tx *sql.Tx) error {
				if err := apply(tx, e); err != nil {
					return err
				}
				switch calls++; calls {
				case 1:
					return errors.New("no")
				case 2:
					panic("no")
				}
				return nil
			})
		})
		for n, want := range []int{500, 500, 200, 200} {
			assert.Equal(t, want, answer(r, inboxRequest(t, "evt_1")), n)
		}
		assert.Equal(t, 3, calls)
		assert.EqualValues(t, 1, s.number(t, "select count(*) from effect"))
	})
}

// A handler that was so slow that another one took over must not add its own
// effect when it wakes up.
func TestInboxRefusesTheWorkOfALostMark(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i, apply := inboxOf(t, s), effects(t, s)
		r := inboxReceiver(t, i)
		slow := true
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			if slow {
				slow = false
				s.rewind(t, 2*time.Minute)
				assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")), "the retry takes over")
				err := i.InTx(ctx, func(tx *sql.Tx) error { return apply(tx, e) })
				assert.ErrorIs(t, err, sqlstore.ErrMarkLost)
				return err
			}
			return i.InTx(ctx, func(tx *sql.Tx) error { return apply(tx, e) })
		})
		assert.Equal(t, http.StatusInternalServerError, answer(r, inboxRequest(t, "evt_1")))
		assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
		assert.EqualValues(t, 1, s.number(t, "select count(*) from effect"))
	})
}

func TestInboxMarksInACallersTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i, apply := inboxOf(t, s), effects(t, s)
		r := inboxReceiver(t, i)
		commit := false
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback() }()
			require.NoError(t, apply(tx, e))
			require.NoError(t, i.Mark(ctx, tx))
			if !commit {
				return errors.New("rolled back")
			}
			return tx.Commit()
		})
		assert.Equal(t, http.StatusInternalServerError, answer(r, inboxRequest(t, "evt_1")))
		commit = true
		assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
		assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
		assert.EqualValues(t, 1, s.number(t, "select count(*) from effect"))
	})
}

func TestInboxNeedsItsReceiver(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i := inboxOf(t, s)
		err := i.InTx(t.Context(), func(*sql.Tx) error { return nil })
		require.ErrorIs(t, err, sqlstore.ErrNoMark)
		require.Error(t, i.Mark(t.Context(), nil))
		_, err = s.Inbox(-1)
		require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	})
}

func TestInboxForgetsWhatIsOld(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i := inboxOf(t, s)
		handle := func(from, to int) {
			for n := from; n < to; n++ {
				m, err := i.Begin(t.Context(), receive.DedupeKey{EventID: fmt.Sprint("evt_", n)}, time.Minute)
				require.NoError(t, err)
				require.NoError(t, i.Commit(t.Context(), m))
			}
		}
		handle(0, 99)
		s.rewind(t, 25*time.Hour)
		handle(99, 100)
		assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_inbox"))
	})
}

// The second handler of a type is told why it cannot mark, and not that somebody
// took the event over.
func TestInboxMarksAnEventOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		i := inboxOf(t, s)
		write := effects(t, s)
		r := inboxReceiver(t, i)
		var first, second error
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			first = i.InTx(ctx, func(tx *sql.Tx) error { return write(tx, e) })
			return first
		})
		r.OnOther(func(ctx context.Context, e webhook.Event) error {
			second = i.InTx(ctx, func(tx *sql.Tx) error { return write(tx, e) })
			return second
		})
		assert.Equal(t, http.StatusInternalServerError, answer(r, inboxRequest(t, "evt_1")))
		require.NoError(t, first)
		require.ErrorIs(t, second, sqlstore.ErrAlreadyMarked)
		assert.NotErrorIs(t, second, sqlstore.ErrMarkLost)
		assert.EqualValues(t, 1, s.number(t, "select count(*) from effect"))
	})
}

// A mark whose taking was cut off keeps nobody out: nothing handles the event.
func TestInboxLeavesNoMarkWhenBeginFails(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		cutOff, cancel := context.WithCancel(ctx)
		defer cancel()
		slow := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
			if !strings.Contains(query, "select state, token") {
				return nil
			}
			cancel()
			return cutOff.Err()
		}})
		key := receive.DedupeKey{EndpointID: "wh_1", EventID: "evt_1"}
		_, err := inboxOf(t, slow).Begin(cutOff, key, time.Hour)
		require.ErrorIs(t, err, context.Canceled)
		_, err = inboxOf(t, s).Begin(ctx, key, time.Hour)
		require.NoError(t, err)
	})
}
