// Package interop holds no code: its tests let other implementations of the
// signature schemes verify what this library signs, and the reverse.
package interop
