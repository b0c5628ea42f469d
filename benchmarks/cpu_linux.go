package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// serverProcess returns the parent of a server's process, if that runs on this
// machine and is PostgreSQL's.
func serverProcess(pid int) int {
	st, ok := readStat(pid)
	if !ok || st.name != "postgres" {
		return 0
	}
	return st.parent
}

// serverCPU returns the processor time of a server and of all its processes, the
// ended ones included.
func serverCPU(server int) time.Duration {
	if server == 0 {
		return 0
	}
	st, _ := readStat(server)
	ticks := st.own + st.children
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if c, ok := readStat(pid); ok && c.parent == server {
			ticks += c.own
		}
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

type procStat struct {
	name          string
	parent        int
	own, children int64 // clock ticks
}

// readStat reads /proc/PID/stat, proc_pid_stat(5).
func readStat(pid int) (procStat, bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if err != nil || open < 0 || end < open {
		return procStat{}, false
	}
	f := bytes.Fields(raw[end+1:]) // from field 3 on
	if len(f) < 15 {
		return procStat{}, false
	}
	num := func(field int) int64 {
		n, _ := strconv.ParseInt(string(f[field-3]), 10, 64)
		return n
	}
	return procStat{
		name:     string(raw[open+1 : end]),
		parent:   int(num(4)),
		own:      num(14) + num(15),
		children: num(16) + num(17),
	}, true
}
