// Package http1 sends requests over HTTP/1.1 connections that stay open, one
// request at a time on each, and lets nothing but the answer to a request answer
// it.
//
// A peer can write more than it was asked for: two answers, a body beyond its
// length, a farewell. In net/http such bytes answer the next request on that
// connection, or stand in the process's log. Here these rules hold:
//
//   - A connection becomes idle only when all that was read from the network is
//     used up: by the parser's buffer, by TLS, and to the end of a TLS record.
//   - Whatever an idle connection receives closes it unread.
//   - Before a request is written, the watcher of the idle connection has ended
//     without a byte, and the kernel holds none either (on Unix).
//
// So a byte that reached this machine before the request's first byte left it is
// never part of an answer. Bytes that cross the request on the way cannot be told
// from an answer by anybody. They stay with their owner, since connections are not
// shared between owners, and once a peer has been seen to write too much, its
// connections are not kept for a while.
package http1
