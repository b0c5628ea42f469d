// Package webhook sends and receives webhooks: a backend emits events to the
// endpoints that its customers registered, and the customers' servers verify and
// handle them.
//
// # Emitting
//
// An [Engine] stores events, fans them out to the endpoints of their account,
// signs, sends, retries, and disables endpoints that are dead. Make one with
// [New] on a [Store]: package memstore keeps everything in the process, package
// sqlstore in PostgreSQL, MySQL/MariaDB or SQLite. Code that emits depends on
// the [Dispatcher] interface alone.
//
// [Engine.Emit] returns nil once events are durable. [Engine.EmitTx] makes them
// part of the caller's own transaction. Each of the 14 event types has a
// constructor, such as [NewCallCompleted], and a payload type; [NewEvent] makes
// any other.
//
// # What is promised
//
// An event that was accepted is delivered at least once to each endpoint that
// was subscribed, or ends in a state that is recorded and can be replayed. An
// attempt succeeds if the response is a 2xx; otherwise it is repeated after 1 s,
// 5 s, 30 s, 2 min and 10 min. After 10 deliveries in a row of which every attempt
// failed, the endpoint is disabled; from then on its events are held until it is
// enabled. Faults of the sending side use up no attempt and never count. The order
// of events is not promised.
//
// # Receiving
//
// Package receive has an http.Handler that verifies requests, removes duplicates,
// and passes typed events to the functions that are registered for them. At a lower
// level, [Verifier.VerifyRequest] takes an *http.Request and returns an [Event],
// and [Verify] is a pure function of body, headers and secrets. A delivery can come
// twice, and test events hold made-up data: code that does not use package receive
// must remember the IDs of the events that it handled, and skip events with Test
// set.
//
// # Managing endpoints
//
// [Engine.CreateEndpoint] and the methods like it are what a management API needs.
// Every call takes the account's id, and what belongs to another account is
// reported as [ErrNotFound]. Errors that such an API shows to customers have the
// methods Code, which returns a word such as invalid_url, and Message.
//
// # Testing
//
// Package webhooktest has a Dispatcher that records, a customer's server that can
// be told to fail, and signed requests. [Engine.DeliverDue] makes one pass without
// a goroutine, so that tests need not wait. Package storetest checks that a Store
// of your own keeps the contract.
//
// # Reading on
//
// docs/how-it-works.md describes the life of an event and of a delivery, and
// docs/wire-format.md what a receiver in another language must know.
package webhook
