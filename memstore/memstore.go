package memstore

import (
	"container/list"
	"context"
	"crypto/cipher"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
)

// DefaultHistory is the default of [Options].History.
const DefaultHistory = 10_000

// Options shape a [Store]. The zero value is the default of each field.
type Options struct {
	// History is the number of finished deliveries to keep, of events that had no
	// subscriber, of endpoints' old revisions, and of tallies; the oldest go first. 0 means [DefaultHistory]; -1 keeps
	// all until [webhook.MaintainRequest].Retention purges them. Idempotency keys stay for
	// their time.
	History int

	// Clock returns the time. It is called with the store locked, and must not
	// call the store. Defaults to time.Now.
	Clock func() time.Time
}

// Store is a [webhook.Store] in memory, safe for concurrent use. It starts no
// goroutine and needs no closing.
type Store struct {
	clock   func() time.Time
	history int

	mu         sync.Mutex
	accounts   map[string]*account
	endpoints  map[string]*endpoint // those of which more than the id is left
	deliveries map[string]*delivery

	turns    list.List   // of *endpoint: active ones with something ready, in turn
	pauses   pauses      // paused ones with something ready, whose next probe is not due
	probes   list.List   // of *endpoint: those whose next probe is due, in turn
	moving   []*endpoint // whose deliveries Maintain has to hold, release or cancel
	timers   queue       // waiting and leased deliveries
	finished chain       // by the time they ended
	unheard  list.List   // of *event without any delivery, by CreatedAt
	counts   [phases]int
	revised  []oldRevision // by the time they ended

	tallied []oldTally // by the time when they began

	marks   map[string]map[string]*mark // by account and key
	marksBy list.List                   // of *mark, by the time when they are over

	processes map[webhook.ProcessID]int64 // Unix nanoseconds: when the time of each is over

	graves   map[string]*list.Element // of buried, by id: deleted endpoints without deliveries
	gravesIn list.List                // of buried, in the order in which they got there

	cursors  cipher.Block                              // hides the numbers of cursors
	patterns map[webhook.EventType][]webhook.EventType // a cache of EventType.Patterns

	seq        uint64 // of the newest endpoint, event or delivery
	probesLast bool   // in the latest Claim
}

var (
	_ webhook.Store             = (*Store)(nil)
	_ webhook.ConcurrencyHinter = (*Store)(nil)
	_ webhook.Heartbeater       = (*Store)(nil)
	_ webhook.Tallier           = (*Store)(nil)
)

// New makes an empty store with default options.
func New() *Store { return NewWith(Options{}) }

// NewWith makes an empty store.
func NewWith(o Options) *Store {
	s := &Store{
		clock:      o.Clock,
		history:    o.History,
		accounts:   make(map[string]*account),
		endpoints:  make(map[string]*endpoint),
		deliveries: make(map[string]*delivery),
		processes:  make(map[webhook.ProcessID]int64),
		graves:     make(map[string]*list.Element),
		marks:      make(map[string]map[string]*mark),
		cursors:    newCursors(),
		patterns:   make(map[webhook.EventType][]webhook.EventType),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.history == 0 {
		s.history = DefaultHistory
	} else if s.history < 0 {
		s.history = math.MaxInt
	}
	return s
}

// Now implements [webhook.Store].
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	return s.time(), nil
}

// ConcurrencyHint implements [webhook.ConcurrencyHinter]. Calls serialize on one
// mutex for microseconds: more of them at once than processors only contend.
func (s *Store) ConcurrencyHint() int { return runtime.GOMAXPROCS(0) }

// begin locks the store unless ctx has ended, and returns the time. A method
// that got no error unlocks.
func (s *Store) begin(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	return s.time(), nil
}

// time returns the wall clock's time: a monotonic reading would make times that
// are compared as times differ from those that are compared as numbers.
func (s *Store) time() time.Time { return s.clock().Round(0).UTC() }

func (s *Store) nextSeq() uint64 {
	s.seq++
	return s.seq
}

// newToken makes a lease token. It need not be hard to guess, only different
// from those before it.
func newToken() webhook.LeaseToken {
	return webhook.LeaseToken(rand.Int64N(math.MaxInt64) + 1) // #nosec G404 -- see above: not a secret
}

// later adds d to the time t, both in nanoseconds, and stops at the end of time.
func later(t int64, d time.Duration) int64 {
	if d <= 0 {
		return t
	}
	if t > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return t + int64(d)
}
