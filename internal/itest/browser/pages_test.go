package browser

import (
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// view is a page in one of its states, and the way to it.
type view struct {
	name string
	open func(*tab)
}

var owner = &webhookapi.Access{AccountID: "acme", Actor: "somebody"}

// views are all pages in all their states, of a site with a day behind it.
func (s *living) views() []view {
	t := s.t
	at := func(path string) func(*tab) { return func(b *tab) { b.visit(path) } }
	of := func(host, rest string) func(*tab) { return at("endpoints/" + s.ids[host] + rest) }
	as := func(a *webhookapi.Access, then func(*tab)) func(*tab) {
		return func(b *tab) {
			s.as(a)
			defer s.as(owner)
			then(b)
		}
	}
	reader := &webhookapi.Access{AccountID: "acme", ReadOnly: true}
	dlv := func(host string, status webhook.DeliveryStatus) func(*tab) {
		return at("deliveries/" + s.delivery(t, host, status).ID)
	}
	return []view{
		{"endpoints", at("")},
		{"endpoints, one status", at("?status=inactive")},
		{"endpoints, read only", as(reader, at(""))},
		{"endpoints, none", as(&webhookapi.Access{AccountID: "nobody"}, at(""))},
		{"endpoints, none with the status", as(&webhookapi.Access{AccountID: "nobody"}, at("?status=failing"))},
		{"new", at("new")},
		{"new, read only", as(reader, at("new"))},
		{"new, wrong", func(b *tab) {
			b.visit("new")
			b.do(chromedp.SetValue(chromedp.ID("url"), "http://example.com/"), chromedp.SetValue(chromedp.ID("headers"), "no colon"),
				chromedp.SetValue(chromedp.ID("description"), "kept"))
			b.evaluate(`document.querySelector("[value=some]").checked = true`)
			b.submit()
		}},
		{"new, wrong URL", func(b *tab) {
			b.visit("new")
			b.do(chromedp.SetValue(chromedp.ID("url"), "http://10.0.0.1/"))
			b.submit()
		}},
		{"secret", func(b *tab) {
			b.visit("new")
			b.do(chromedp.SetValue(chromedp.ID("url"), "https://once.example.com/"))
			b.submit()
			list, err := s.engine.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{Limit: 1})
			require.NoError(t, err)
			require.NoError(t, s.engine.DeleteEndpoint(t.Context(), "acme", list.Items[0].ID))
		}},
		{"secret, gone", at("secret?endpoint=" + s.ids["crm"])},
		{"endpoint, well", of("crm", "")},
		{"endpoint, read only", as(reader, of("billing", ""))},
		{"endpoint, failing", of("analytics", "")},
		{"endpoint, disabled", of("billing", "")},
		{"endpoint, disabled by hand", of("staging", "?done=disabled")},
		{"endpoint, gone", of("legacy", "")},
		{"endpoint, refused", of("closed", "")},
		{"endpoint, new", of("new", "")},
		{"edit", of("billing", "/edit")},
		{"edit, wrong", func(b *tab) {
			b.visit("endpoints/" + s.ids["billing"] + "/edit")
			b.evaluate(`for (const c of document.querySelectorAll("[type=checkbox]")) c.checked = false`)
			b.evaluate(`document.querySelector("[value=some]").checked = true; document.getElementById("other").value = ""`)
			b.submit()
		}},
		{"delete", of("billing", "/delete")},
		{"test", of("crm", "/test")},
		{"test, delivered", func(b *tab) { b.visit("endpoints/" + s.ids["calendar"] + "/test"); b.submit() }},
		{"test, failed", func(b *tab) { b.visit("endpoints/" + s.ids["moved"] + "/test"); b.submit() }},
		{"test, wrong", func(b *tab) {
			b.visit("endpoints/" + s.ids["crm"] + "/test")
			b.evaluate(`document.querySelector("option:checked").value = "no.such"`)
			b.submit()
		}},
		{"deliveries", of("crm", "/deliveries")},
		{"deliveries, next page", func(b *tab) { b.visit("endpoints/" + s.ids["crm"] + "/deliveries"); b.press("Next page") }},
		{"deliveries, filtered", of("billing", "/deliveries?status=held&event=call.*&from=2020-01-01T00:00")},
		{"deliveries, mixed", of("analytics", "/deliveries")},
		{"deliveries, none", of("new", "/deliveries")},
		{"deliveries, none match", of("crm", "/deliveries?event=no.such")},
		{"deliveries, wrong", of("crm", "/deliveries?from=yesterday&until=x")},
		{"retry", of("billing", "/retry?status=exhausted")},
		{"retry, none", of("crm", "/retry?status=exhausted")},
		{"delivery, delivered", dlv("calendar", webhook.DeliveryDelivered)},
		{"delivery, failed", dlv("billing", webhook.DeliveryExhausted)},
		{"delivery, redirected", dlv("moved", webhook.DeliveryExhausted)},
		{"delivery, held", dlv("billing", webhook.DeliveryHeld)},
		{"event", at("events/" + s.delivery(t, "crm", webhook.DeliveryDelivered).EventID)},
		{"event, erased", at("events/" + s.delivery(t, "calendar", webhook.DeliveryDelivered).EventID)},
		{"no such page", at("no/such/page")},
		{"no such endpoint", at("endpoints/wh_none")},
		{"logged out", as(nil, at(""))},
		{"read only, post", func(b *tab) {
			b.visit("endpoints/" + s.ids["crm"] + "/edit")
			s.as(reader)
			defer s.as(owner)
			b.submit()
		}},
		{"operator", s.atOperator("")},
		{"operator, one status", s.atOperator("?status=inactive")},
		{"operator, nothing", s.bare.atOperator("")},
		{"no statistics", func(b *tab) { b.do(chromedp.Navigate(s.bare.url(""))) }},
		{"endpoint, no statistics", func(b *tab) { b.do(chromedp.Navigate(s.bare.url("endpoints/wh_bare"))) }},
		{"operator, no such page", s.atOperator("none")},
		{"operator, forbidden", as(nil, s.atOperator(""))},
	}
}

// atOperator opens a page of the operator's view.
func (s *site) atOperator(path string) func(*tab) {
	return func(b *tab) { b.do(chromedp.Navigate(s.server.URL + operatorPrefix + path)) }
}
