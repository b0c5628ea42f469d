// Package frameworks shows a receive.Receiver under the usual routers, one file
// each.
package frameworks
