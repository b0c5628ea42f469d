//go:build !unix

package main

import "time"

// processCPU returns 0: not measured here.
func processCPU() time.Duration { return 0 }
