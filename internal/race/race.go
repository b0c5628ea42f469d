// Package race says whether the race detector is on, since what tests simulate
// takes ten times as long with it.
package race
