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
	parking bool
	probe   int64 // the first probe of a paused endpoint; 0: none
	probes  int64 // the first one that is not due yet; 0: none
}

func (s *Store) look(ctx context.Context) (o outlook, err error) {
	err = s.read(ctx, func(t *txn) error {
		var now []any
		o.micros = time.Now().UnixMicro()
		if s.dialect.ownClock {
			now = []any{o.micros, o.micros}
		}
		return t.row(ctx, s.sql.Look, now...).Scan(&o.micros, &o.lease, &o.retry, &o.moving, &o.ready, &o.holding, &o.parking, &o.probe, &o.probes)
	})
	return o, err
}

// nextIn returns the time until Maintain has something to do, or until a probe is
// due; see [webhook.Claimed]. Probes that are due already are for Claim alone, which
// may have had no room for them.
func (o *outlook) nextIn() time.Duration {
	if o.moving {
		return 0
	}
	in := time.Duration(-1)
	soonest := func(d time.Duration) {
		if in < 0 || d < in {
			in = d
		}
	}
	for _, at := range []int64{o.lease, o.retry} {
		if at != 0 {
			soonest(max(0, time.Duration(at-o.micros)*time.Microsecond))
		}
	}
	if o.probes != 0 {
		soonest(max(1, time.Duration(o.probes-o.micros)*time.Microsecond))
	}
	if o.holding || o.parking {
		soonest(sweepPause)
	}
	return in
}

// sweepPause is the time until held and parked deliveries are looked at again though
// nothing tells that they have to move: see sweep.
const sweepPause = 5 * time.Second
