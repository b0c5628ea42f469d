// Package webhookui is a dashboard over the same engine as the management API: two
// [http.Handler]s, to be mounted in the platform's own server under its own session.
//
//	portal, err := webhookui.New(engine, webhookui.Options{Authorize: authorize})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("/webhooks/", http.StripPrefix("/webhooks", portal))
//
// [New] is the portal in which a customer registers endpoints, sends tests, and sees what
// became of each delivery. [NewOperator] is for those who run the platform, and shows
// what is under way across accounts.
//
// Pages are HTML forms and links, and work without JavaScript. All links are relative, so
// that any prefix works. No page loads anything from elsewhere, and a Content-Security-Policy
// without exceptions holds that.
package webhookui
