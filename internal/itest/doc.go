// Package itest holds the tests that need what the published module must not
// depend on: database drivers, an SSRF oracle, other implementations of the
// wire format. It is a module of its own and never published.
package itest
