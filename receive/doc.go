// Package receive is a customer's side of webhooks: an [http.Handler] that verifies
// each request, recognises duplicates, and calls the function that is registered
// for the event's type.
//
//	r, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
//	…
//	receive.On(r, func(ctx context.Context, e webhook.Event, call webhook.CallCompleted) error { … })
//	http.Handle("/webhooks", r)
//
// [Receiver.Middleware] does the same in front of a handler of your own, and
// [AsyncConfig] is for work that takes longer than a sender waits. A program that
// only verifies needs the root package alone.
//
// docs/receivers.md has more: routers, duplicates across processes, other
// languages.
package receive
