// Package interop holds no code: its tests let other implementations of the
// signature schemes verify what this library signs, and the reverse.
//
// The one in JavaScript needs node and, once, npm ci in the folder js; without
// them its test is skipped.
package interop
