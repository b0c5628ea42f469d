package main

import (
	"bytes"
	"os"
	"strconv"
)

// residentBytes returns the resident memory of this process, from
// /proc/self/statm, proc_pid_statm(5).
func residentBytes() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(raw)
	pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
