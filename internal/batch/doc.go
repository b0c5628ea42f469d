// Package batch lets single calls share the larger ones that they lead to: those that
// wait for the result of their call ([Coalescer]), and results that nobody waits for
// ([Recorder]).
package batch
