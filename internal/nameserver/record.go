// Package nameserver decides whether a failed lookup is the fault of the host's own
// name server or of our resolver, by what happens to the lookups of other hosts
// meanwhile.
package nameserver

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const (
	// enough is the number of failures in a row, one after the other, from which on
	// a host is judged. Fewer may be a short disturbance on either side.
	enough = 3
	// stale is the time after which a host that is no longer looked up gives way to
	// any other.
	stale = time.Hour

	buckets = 32
	slots   = 32
)

// Record remembers how the latest lookups ended. Its size is fixed: an owner's
// hosts share the slots of one bucket. The zero value is not usable; see [New]. It
// is safe for concurrent use.
type Record struct {
	seed maphash.Seed
	mu   sync.Mutex
	all  [buckets][slots]host
}

// host is the latest of one owner's lookups of one name. Names are kept as hashes.
type host struct {
	owner, name, domain uint64
	failures            int       // in a row
	first               time.Time // when the first of these began
	failed              time.Time // when the latest ended
	resolved            time.Time
}

// New returns an empty Record.
func New() *Record { return &Record{seed: maphash.MakeSeed()} }

// Resolved notes that the lookup of an owner's host led to an address.
func (r *Record) Resolved(owner, name string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.host(owner, name, now)
	h.failures, h.resolved = 0, now
}

// Failed notes that a lookup which began at some time found nothing out, and
// reports whether that is the fault of the host's own name server: it has failed
// several times in a row, and since the first of these at least as many others'
// hosts were resolved as failed. Others are other owners, each counted once,
// whatever the number of its hosts. Where only one owner is known, the hosts of
// other domains take their place.
//
// With nothing to compare, it is nobody's fault but ours.
func (r *Record) Failed(owner, name string, began time.Time) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.host(owner, name, now)
	if h.failures == 0 {
		h.first = began
	}
	if !began.Before(h.failed) { // otherwise both met the same trouble
		h.failures++
	}
	h.failed = now
	if h.failures < enough {
		return false
	}
	good, bad := r.others(h)
	if good+bad == 0 {
		good, bad = r.otherDomains(h)
	}
	return good > 0 && good >= bad
}

// outcome of a host since some time: its latest lookup resolved it, or failed.
func (h *host) outcome(since time.Time) (good, bad bool) {
	good = h.resolved.After(since) && !h.resolved.Before(h.failed)
	return good, !good && h.failed.After(since)
}

// others counts the owners besides h's by what happened since h's first failure.
func (r *Record) others(h *host) (good, bad int) {
	for b := range r.all {
		g, n := tally(&r.all[b], h.first, func(o *host) (uint64, bool) { return o.owner, o.owner != h.owner })
		good, bad = good+g, bad+n
	}
	return good, bad
}

// otherDomains counts the domains of h's owner besides h's, or with it where
// another host of it was resolved.
func (r *Record) otherDomains(h *host) (good, bad int) {
	return tally(&r.all[h.owner%buckets], h.first, func(o *host) (uint64, bool) {
		ok, _ := o.outcome(h.first)
		return o.domain, o.owner == h.owner && (o.domain != h.domain || ok)
	})
}

// tally counts parties, each once: good if any of its hosts was resolved.
func tally(bucket *[slots]host, since time.Time, party func(*host) (id uint64, counts bool)) (good, bad int) {
	var ids [slots]uint64
	var ok [slots]bool
	n := 0
	for i := range bucket {
		o := &bucket[i]
		id, counts := party(o)
		resolved, failed := o.outcome(since)
		if !counts || !resolved && !failed {
			continue
		}
		at := 0
		for at < n && ids[at] != id {
			at++
		}
		if at == n {
			ids[n], n = id, n+1
		}
		ok[at] = ok[at] || resolved
	}
	for _, resolved := range ok[:n] {
		if resolved {
			good++
		}
	}
	return good, n - good
}

// host returns the place of an owner's host, which takes over another's if it has
// none yet: one of the owner's own where it has half of the bucket.
func (r *Record) host(owner, name string, now time.Time) *host {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	o, n := maphash.String(r.seed, owner), maphash.String(r.seed, name)
	bucket := &r.all[o%buckets]
	own := 0
	for i := range bucket {
		if h := &bucket[i]; h.owner == o && !h.latest().IsZero() {
			if h.name == n {
				return h
			}
			own++
		}
	}
	var victim *host
	for i := range bucket {
		h := &bucket[i]
		if (own < slots/2 || h.owner == o) && (victim == nil || h.before(victim, now)) {
			victim = h
		}
	}
	kept := host{owner: o, name: n, domain: maphash.String(r.seed, domain(name))}
	if victim.owner == o && victim.failures > 0 {
		// An owner with more failing hosts than it has places: each goes on where
		// another was.
		kept.failures, kept.first = victim.failures, victim.first
	}
	*victim = kept
	return victim
}

// before reports whether h has to give way before o: what nobody has asked for for
// long, then what was resolved, then the oldest.
func (h *host) before(o *host, now time.Time) bool {
	if a, b := h.worth(now), o.worth(now); a != b {
		return a < b
	}
	return h.latest().Before(o.latest())
}

func (h *host) worth(now time.Time) int {
	switch {
	case now.Sub(h.latest()) > stale:
		return 0
	case h.failures == 0:
		return 1
	}
	return 2
}

func (h *host) latest() time.Time {
	if h.resolved.After(h.failed) {
		return h.resolved
	}
	return h.failed
}

// domain is the part of a name that belongs to one owner, as far as is known
// without a list of public suffixes: its last two labels.
func domain(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[strings.LastIndexByte(name[:i], '.')+1:]
	}
	return name
}
