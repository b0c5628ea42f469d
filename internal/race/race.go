// Package race tells tests whether the race detector is on, under which what they
// simulate takes ten times as long.
package race
