// Package httpsend sends one POST at a time to a URL that a stranger chose, within
// time budgets, and says in fixed words why one failed.
//
// Where a request goes is checked twice, by the rules of package egress: the URL
// when it is parsed, and each address when it is dialled. Connections are those of
// package http1: bytes that a peer sends unasked never become a response.
//
// Errors are all [*Error]. Their Kind and Detail show nothing of this machine or of
// the peer: whoever could read the texts of Go's errors would have a port scanner
// inside the sender's network.
//
// The package knows nothing of webhooks.
package httpsend
