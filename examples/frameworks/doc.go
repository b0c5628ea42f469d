// Package frameworks shows a webhook.Receiver under the usual routers, one file
// each.
package frameworks
