// Package webhooktest helps to test code that emits webhooks and code that
// receives them.
//
// # Code that emits
//
// A [Recorder] is a [webhook.Dispatcher] without a network: it accepts and refuses
// events exactly as an Engine does, and keeps what it accepted. Give it to the code
// under test instead of the Engine, then check what was emitted:
//
//	rec := webhooktest.NewRecorder(t)
//	NewClinic(rec).Book(ctx, "acc_1", "Jordan Miles")
//	booked := webhooktest.One[webhook.AppointmentCreated](rec, "acc_1")
//
// [Recorder.Begin] starts a transaction for [Recorder.EmitTx] that commits and
// rolls back. [Recorder.FailNext] makes the next calls fail. Code that calls
// Engine.Wake after its commit takes that as a func() beside the Dispatcher.
//
// # Code that receives
//
// [NewRequest] makes the same request that an Engine would send, signed with a
// secret of the test's own, and [Sample] a realistic event of each type:
//
//	secret := webhook.NewSecret()
//	req := webhooktest.NewRequest(t, secret, webhooktest.Sample(t, "acc_1", webhook.EventCallCompleted))
//	res := httptest.NewRecorder()
//	NewHandler(secret).ServeHTTP(res, req)
//
// # The whole way
//
// A [Server] is a customer's server on loopback: it verifies and keeps what arrives,
// and responds as the test scripts it: with an error, late, never, or by breaking
// the connection. With a [Clock] for the Store and Engine.DeliverDue in place of
// Start, retries need no waiting.
//
// Everything here is safe for concurrent use.
package webhooktest
