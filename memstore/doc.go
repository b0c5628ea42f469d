// Package memstore keeps webhooks in the memory of the process. It is the
// reference [webhook.Store]: for tests, and for events that may die with the
// process. What has to survive a restart belongs in package sqlstore.
//
// # What it keeps
//
// Unfinished deliveries are kept until they end, however many there are; what
// bounds them is the caller's own emitting. Of what has ended it keeps the
// newest [Options].History deliveries, and as many events that nobody was
// subscribed to; an older event id is then forgotten, so that emitting it again
// is a new event. The id of a deleted endpoint is kept until retention purges it.
//
// # Cost
//
// Enqueue, Claim, Settle and Maintain cost as much as the batch that they work
// on (and, of a heap, the logarithm of its size): neither waiting deliveries nor
// the backlog of an endpoint without room is looked at, nor a paused endpoint
// before its next probe is due. Of the endpoints without room a Claim visits 1,000
// in turn and 64 with a due probe at most, and leaves the others to the next call.
// One mutex guards everything; payloads are copied outside it, once.
package memstore
