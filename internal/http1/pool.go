package http1

import (
	"hash/maphash"
	"sync"
	"time"
)

// Key says which requests may share a connection: those of one owner to one
// address.
type Key struct {
	Owner   string
	TLS     bool
	Address string // host:port
}

// Pool keeps connections. Its fields must not be changed once it is in use. It is
// safe for concurrent use.
type Pool struct {
	// MaxIdle is the number of connections that are kept without being used. The
	// oldest gives way: of all, or of an owner that has more than half of them.
	MaxIdle     int
	IdleTimeout time.Duration // how long
	// Lifetime is how long after its dial a connection takes requests, so that a
	// name is looked up again in the end however busy it is. 0 means without end.
	Lifetime  time.Duration
	MaxHeader int64 // bytes of a response's headers, 1xx included

	mu     sync.Mutex
	tops   map[Key]*conn // the latest of each key; the others hang below it
	oldest *conn
	newest *conn
	count  int
	owners map[string]int // idle ones of each
	sweep  *time.Timer    // runs while something is idle
	late   *time.Timer    // runs while something is idle and not watched
	later  bool           // it does

	talkers [talkerSlots]talker
	seed    maphash.Seed // of the places of talkers
}

// take returns an idle connection that nothing was received on, or nil.
func (p *Pool) take(key Key) *conn {
	for {
		p.mu.Lock()
		c := p.tops[key]
		if c != nil {
			p.remove(c)
		}
		p.mu.Unlock()
		if c == nil || c.wake() && !c.aged(time.Now()) && time.Since(c.idleSince) < p.IdleTimeout {
			return c
		}
		c.discard()
	}
}

// put keeps c, which is clean and no longer used by its caller.
func (p *Pool) put(c *conn) {
	var excess *conn
	now := time.Now()
	p.mu.Lock()
	if p.MaxIdle <= 0 || c.aged(now) || p.talks(c.key, now) {
		excess = c
	} else {
		p.add(c)
		if p.count > p.MaxIdle {
			excess = p.oldest
			if p.owners[c.key.Owner] > max(1, p.MaxIdle/2) {
				for excess.key.Owner != c.key.Owner {
					excess = excess.newer
				}
			}
			p.remove(excess)
		}
	}
	p.mu.Unlock()
	if excess != nil {
		excess.close()
	}
}

// add makes c the latest idle connection.
func (p *Pool) add(c *conn) {
	if p.tops == nil {
		p.tops, p.owners = map[Key]*conn{}, map[string]int{}
	}
	c.below, p.tops[c.key] = p.tops[c.key], c
	c.older, c.newer = p.newest, nil
	if p.newest == nil {
		p.oldest = c
	} else {
		p.newest.newer = c
	}
	p.newest = c
	p.count++
	p.owners[c.key.Owner]++
	c.idle, c.idleSince = true, time.Now()
	if c.kernel == nil {
		p.watch(c)
	} else {
		p.watchLater()
	}
	switch {
	case p.count > 1: // the timer runs
	case p.sweep == nil:
		p.sweep = time.AfterFunc(p.IdleTimeout, p.closeExpired)
	default:
		p.sweep.Reset(p.IdleTimeout)
	}
}

// watchAfter is how long a connection is idle before a goroutine watches it, where the
// kernel can be asked instead when the next request comes. Most requests under load find
// one that was idle for less.
const watchAfter = 50 * time.Millisecond

// watch starts the watcher of an idle connection.
func (p *Pool) watch(c *conn) {
	c.watching = true
	go c.watch()
}

// watchLater lets watchIdle run.
func (p *Pool) watchLater() {
	switch {
	case p.later:
	case p.late == nil:
		p.late = time.AfterFunc(watchAfter, p.watchIdle)
	default:
		p.late.Reset(watchAfter)
	}
	p.later = true
}

// watchIdle watches what was idle for long enough, and comes again for the rest.
func (p *Pool) watchIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.later = false
	now := time.Now()
	for c := p.newest; c != nil; c = c.older {
		switch {
		case c.watching && c.kernel != nil: // and so are those before it
			return
		case c.watching:
		case now.Sub(c.idleSince) >= watchAfter:
			p.watch(c)
		default:
			p.watchLater()
		}
	}
}

// remove takes the idle c out.
func (p *Pool) remove(c *conn) {
	if top := p.tops[c.key]; top != c {
		for top.below != c {
			top = top.below
		}
		top.below = c.below
	} else if c.below != nil {
		p.tops[c.key] = c.below
	} else {
		delete(p.tops, c.key) // or else owners could make the map grow
	}
	if c.older == nil {
		p.oldest = c.newer
	} else {
		c.older.newer = c.newer
	}
	if c.newer == nil {
		p.newest = c.older
	} else {
		c.newer.older = c.older
	}
	if p.owners[c.key.Owner]--; p.owners[c.key.Owner] == 0 {
		delete(p.owners, c.key.Owner)
	}
	c.below, c.older, c.newer, c.idle = nil, nil, nil, false
	if p.count--; p.count == 0 {
		p.sweep.Stop()
	}
	if p.count == 0 && p.later && p.late.Stop() {
		p.later = false
	}
}

// closeExpired closes what has been idle for IdleTimeout.
func (p *Pool) closeExpired() { p.closeIdle(time.Now().Add(-p.IdleTimeout)) }

// CloseIdle closes the connections that nobody is using, and returns when
// their watchers have ended.
func (p *Pool) CloseIdle() { p.closeIdle(time.Now().Add(time.Hour)) }

func (p *Pool) closeIdle(until time.Time) {
	var closing *conn
	p.mu.Lock()
	for p.oldest != nil && !p.oldest.idleSince.After(until) {
		c := p.oldest
		p.remove(c)
		c.below, closing = closing, c
	}
	if p.oldest != nil {
		p.sweep.Reset(p.oldest.idleSince.Sub(until))
	}
	p.mu.Unlock()
	for c := closing; c != nil; c = c.below {
		c.close()
		if c.watching {
			<-c.watched
		}
	}
}

// A talker has written more than it was asked for. Its connections are not kept
// until some time is over, since the next surplus could cross a request.
type talker struct {
	hash  uint64
	until time.Time
}

const (
	talkerSlots = 512 // a key has one place; another key that comes there takes it over
	talkerPause = 10 * time.Minute
	// talkerDelay distinguishes surplus bytes of a response from what some servers
	// say before they close a connection that was idle for long: 408, for example.
	talkerDelay = time.Second
)

func (p *Pool) talked(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hash(key)
	p.talkers[h%talkerSlots] = talker{h, time.Now().Add(talkerPause)}
}

// talks reports whether a peer wrote too much lately; the caller holds the lock.
func (p *Pool) talks(key Key, now time.Time) bool {
	h := p.hash(key)
	t := &p.talkers[h%talkerSlots]
	return t.hash == h && now.Before(t.until)
}

// hash returns where a key has its place, with a seed that nobody can know.
func (p *Pool) hash(key Key) uint64 {
	if p.seed == (maphash.Seed{}) {
		p.seed = maphash.MakeSeed()
	}
	return maphash.Comparable(p.seed, key)
}
