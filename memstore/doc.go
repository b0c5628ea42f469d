// Package memstore keeps webhooks in the memory of the process. It is the reference
// [webhook.Store]: for tests, and for events that may die with the process. What
// has to survive a restart belongs in package sqlstore.
//
// # What it keeps
//
// Unfinished deliveries are kept until they end, however many there are; what
// bounds them is the caller's own emitting. Of those that have ended it keeps the
// newest [Options].History, and as many events to which no endpoint was subscribed.
// The ids of older events are forgotten, so that emitting one again makes a new
// event. The id of a deleted endpoint is kept until retention purges it.
//
// # Cost
//
// Enqueue, Claim, Settle and Maintain cost as much as the batch that they work on
// (and the logarithm of the size of a heap): they do not look at waiting
// deliveries, at the backlog of an endpoint without room, or at a paused endpoint
// before its next probe is due. A Claim visits at most 1,000 endpoints without
// room, and at most 64 of which a probe is due, and leaves the others to the next
// call. One mutex guards everything; payloads are copied outside it, once.
package memstore
