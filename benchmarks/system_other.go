//go:build !linux

package main

import (
	"runtime"
	"time"
)

// Processes of the database server can be looked at on Linux alone.
func serverProcess(int) int       { return 0 }
func serverCPU(int) time.Duration { return 0 }

// residentBytes returns what the runtime has from the system.
func residentBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
