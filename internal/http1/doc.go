// Package http1 sends requests over HTTP/1.1 connections that stay open, one
// request at a time on each. Bytes that a peer sends unasked never become the
// response to a request.
//
// A peer can write more than it was asked for: two responses, a body beyond its
// length, a farewell. With net/http such bytes become the response to the next
// request on that connection, or appear in the process's log. Here these rules hold:
//
//   - A connection becomes idle only when all that was read from the network is
//     used up: the parser's buffer and that of TLS are empty, and the last TLS
//     record is complete.
//   - Whatever an idle connection receives closes it unread, when the next request comes
//     at the latest: a goroutine watches it once it has been idle for a moment.
//   - Before a request is written, the watcher of the idle connection, if any, has ended
//     without a byte, and the kernel holds none either (on Unix).
//
// So a byte that reached this machine before the request's first byte left it is
// never part of a response. Bytes that cross the request on the way look like a
// response, and nobody can tell the difference. They harm only the peer's own owner,
// since connections are not shared between owners; and once a peer was seen to write
// too much, its connections are not kept for a while.
package http1
