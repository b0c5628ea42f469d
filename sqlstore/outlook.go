package sqlstore

import (
	"context"
	"time"
)

// outlook is what there is to do, as one cheap query tells: all that an idle
// process asks at each poll.
type outlook struct {
	micros  int64
	lease   int64 // the first end of a lease; 0: none
	retry   int64 // the first retry; 0: none
	moving  bool  // deliveries have to follow their endpoint
	ready   bool
	holding bool
}

func (s *Store) look(ctx context.Context) (o outlook, err error) {
	err = s.read(ctx, func(t *txn) error {
		return t.row(ctx, s.sql.Look).Scan(&o.micros, &o.lease, &o.retry, &o.moving, &o.ready, &o.holding)
	})
	if s.sql.Now == "" {
		o.micros = time.Now().UnixMicro()
	}
	return o, err
}

// nextIn answers the time until Maintain has something to do; see
// [webhook.Claimed].
func (o *outlook) nextIn() time.Duration {
	next := o.lease
	if next == 0 || o.retry != 0 && o.retry < next {
		next = o.retry
	}
	switch {
	case o.moving:
		return 0
	case next == 0 && o.holding:
		return sweepPause
	case next == 0:
		return -1
	}
	in := max(0, time.Duration(next-o.micros)*time.Microsecond)
	if o.holding {
		in = min(in, sweepPause)
	}
	return in
}

// sweepPause is the time until held deliveries are looked at again though nothing
// tells that they have to move: see sweep.
const sweepPause = 5 * time.Second
