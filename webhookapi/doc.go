// Package webhookapi is the management API for the customers of a platform: an
// [http.Handler], to be mounted in the platform's own server, with which they register
// endpoints, rotate secrets, send test events, and read the log of their deliveries. The
// API is described by an OpenAPI 3.1 document, which the handler serves, and in
// docs/api.md.
//
//	api, err := webhookapi.New(engine, webhookapi.Options{Authorize: authorize})
//	if err != nil {
//		log.Fatal(err)
//	}
//	for _, pattern := range api.Patterns() {
//		mux.Handle(pattern, api)
//	}
//
// Who asks is decided by the platform, in one function that is required; see
// [Options.Authorize]. What belongs to another account is reported exactly like what does
// not exist.
package webhookapi
