// Package interop holds no code: its tests let other implementations of the
// signature schemes verify what this library signs, and the reverse.
//
// Those in JavaScript need node and one of them, once, npm ci in the folder js;
// without them they are skipped.
package interop
