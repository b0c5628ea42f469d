// Package lanes decides which of the work that a process holds is done next, and
// how much more of it the process can take on. The work is of endpoints, and each
// endpoint is of an account.
//
// Three rules keep them from delaying each other:
//
// Pools. Attempts at endpoints that respond quickly use the quick pool. An endpoint
// that is slow, or did not respond in time, needs a place in the slow pool before
// its attempt begins. One that nothing is known of gets a single attempt, from a
// pool for trials that is large, since each endpoint needs it once: a good one among
// many that hang would otherwise be found late. An attempt in the quick
// pool that takes longer than [SlowAfter] is moved to the slow pool, which may then
// hold more than its size; from then on its endpoint is one of the slow ones, so
// that it can surprise no more often than it has slots.
//
// Accounts before endpoints. In each pool the account with the fewest attempts in
// flight goes first, and its endpoints take turns. An account may use places of a
// pool only up to a multiple of those that are free. This is the dynamic threshold
// that A. Choudhury and E. Hahne described for shared-memory packet switches in
// 1998: with a multiple of 1/2 and n greedy accounts, 2/(n+2) of the pool stays
// free for whoever comes next. The same holds for what waits in memory, in number
// and in bytes.
//
// A pace for each endpoint. One that did not respond in time has one slot, holds
// nothing in memory, and is left alone for as long as its verdict says. All
// endpoints of that kind together use at most half of the slow pool. One that refuses
// what comes too fast gets fewer attempts at once, and a gap between two of them that
// becomes longer with each refusal, and shorter again with each response.
//
// The package knows nothing of webhooks. All methods are safe for concurrent use.
package lanes
