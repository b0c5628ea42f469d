package main

import (
	"fmt"
	"io"
	"time"
)

// target is a ratio that the project holds itself to.
type target struct {
	what       string
	over       cell
	under      cell
	by         metric
	floor, aim float64
	atMost     bool // the ratio shall be at most, not at least, floor and aim
}

func targets() []target {
	pg, lite, mem := postgresName, sqliteName, memoryName
	at := func(scenario, contender string) cell { return cell{scenario, "", contender} }
	return []target{
		{"batches, memory / bare", at("batches", mem), at("batches", bareName), rate, 0.75, 0.85, false},
		{"batches, SQLite / bare", at("batches", lite), at("batches", bareName), rate, 0.40, 0.60, false},
		{"batches, PostgreSQL / bare", at("batches", pg), at("batches", bareName), rate, 0.36, 0.50, false},
		{"drain, memory / bare", at("drain", mem), at("drain", bareName), rate, 0.80, 0.90, false},
		{"drain, SQLite / bare", at("drain", lite), at("drain", bareName), rate, 0.50, 0.70, false},
		{"drain, PostgreSQL / bare", at("drain", pg), at("drain", bareName), rate, 0.45, 0.60, false},
		{"batches, PostgreSQL / River tuned", at("batches", pg), at("batches", riverTunedName), rate, 1.5, 2, false},
		{"batches, PostgreSQL / River defaults", at("batches", pg), at("batches", riverDefaultName), rate, 10, 12, false},
		{"single emits, PostgreSQL / River tuned", at("single", pg), at("single", riverTunedName), rate, 1.5, 2, false},
		{"latency p50, PostgreSQL / bare", at("latency", pg), at("latency", bareName), p50, 6, 4, true},
		{"latency p50, PostgreSQL / River tuned", at("latency", pg), at("latency", riverTunedName), p50, 0.5, 0.25, true},
		{"latency p99, PostgreSQL / River tuned", at("latency", pg), at("latency", riverTunedName), p99, 0.5, 0.25, true},
		{"10 % hang, memory, p99 / none", cell{"hanging", "10 % hang", mem}, cell{"hanging", "none hangs", mem}, p99, 2, 1.5, true},
		{"10 % hang, SQLite, p99 / none", cell{"hanging", "10 % hang", lite}, cell{"hanging", "none hangs", lite}, p99, 2, 1.5, true},
		{"10 % hang, PostgreSQL, p99 / none", cell{"hanging", "10 % hang", pg}, cell{"hanging", "none hangs", pg}, p99, 2, 1.5, true},
		{"50 % hang, memory, p99 / none", cell{"hanging", "50 % hang", mem}, cell{"hanging", "none hangs", mem}, p99, 2, 1.5, true},
		{"50 % hang, SQLite, p99 / none", cell{"hanging", "50 % hang", lite}, cell{"hanging", "none hangs", lite}, p99, 2, 1.5, true},
		{"50 % hang, PostgreSQL, p99 / none", cell{"hanging", "50 % hang", pg}, cell{"hanging", "none hangs", pg}, p99, 2, 1.5, true},
		{"90 % hang, memory, p99 / none", cell{"hanging", "90 % hang", mem}, cell{"hanging", "none hangs", mem}, p99, 2, 1.5, true},
		{"90 % hang, SQLite, p99 / none", cell{"hanging", "90 % hang", lite}, cell{"hanging", "none hangs", lite}, p99, 2, 1.5, true},
		{"90 % hang, PostgreSQL, p99 / none", cell{"hanging", "90 % hang", pg}, cell{"hanging", "none hangs", pg}, p99, 2, 1.5, true},
		{"noisy account, memory, p99 / alone", cell{"noisy", "noisy account", mem}, cell{"noisy", "alone", mem}, p99, 2, 1.5, true},
		{"noisy account, SQLite, p99 / alone", cell{"noisy", "noisy account", lite}, cell{"noisy", "alone", lite}, p99, 2, 1.5, true},
		{"noisy account, PostgreSQL, p99 / alone", cell{"noisy", "noisy account", pg}, cell{"noisy", "alone", pg}, p99, 2, 1.5, true},
		{"many due elsewhere, SQLite, p99 / empty", cell{"flood", "many due", lite}, cell{"flood", "empty", lite}, p99, 3, 2, true},
		{"many due elsewhere, PostgreSQL, p99 / empty", cell{"flood", "many due", pg}, cell{"flood", "empty", pg}, p99, 3, 2, true},
		{"many retries waiting, SQLite / empty", cell{"retries", "many waiting", lite}, cell{"retries", "empty", lite}, rate, 0.85, 0.95, false},
		{"many retries waiting, PostgreSQL / empty", cell{"retries", "many waiting", pg}, cell{"retries", "empty", pg}, rate, 0.85, 0.95, false},
		{"many endpoints, SQLite / 100", cell{"endpoints", "many", lite}, cell{"endpoints", "100", lite}, rate, 0.75, 0.9, false},
		{"many endpoints, PostgreSQL / 100", cell{"endpoints", "many", pg}, cell{"endpoints", "100", pg}, rate, 0.75, 0.9, false},
		{"two processes, PostgreSQL / one", cell{"processes", "2", pg}, cell{"processes", "1", pg}, rate, 0.85, 0.95, false},
		{"CPU per delivery, PostgreSQL / River tuned", at("batches", pg), at("batches", riverTunedName), cpu, 0.6, 0.45, true},
		{"memory with all waiting, SQLite / none", cell{"waiting", "all", lite}, cell{"waiting", "none", lite}, memory, 1.2, 1.05, true},
		{"memory with all waiting, PostgreSQL / none", cell{"waiting", "all", pg}, cell{"waiting", "none", pg}, memory, 1.2, 1.05, true},
	}
}

// writeTargets prints the targets of which both sides were measured.
func (r results) writeTargets(w io.Writer) {
	fmt.Fprint(w, "\n## Targets\n\n| ratio | measured | floor | aim | |\n|---|---|---|---|---|\n")
	for _, t := range targets() {
		v, ok := r.ratio(t.over, t.under, t.by)
		if !ok {
			continue
		}
		verdict := t.verdict(v)
		if delay, _ := r.median(t.over, t.by); verdict == "missed" && t.isolation() && time.Duration(delay) <= moment {
			verdict = "at most 50 ms"
		}
		sign := "≥"
		if t.atMost {
			sign = "≤"
		}
		fmt.Fprintf(w, "| %s | %.2f | %s %.4g | %s %.4g | %s |\n", t.what, v, sign, t.floor, sign, t.aim, verdict)
	}
}

// moment is what a good endpoint may wait for others, though that be many times what
// it waits alone.
const moment = 50 * time.Millisecond

// isolation reports whether the target is of endpoints beside others that are bad.
func (t target) isolation() bool { return t.over.scenario == "hanging" || t.over.scenario == "noisy" }

func (t target) verdict(v float64) string {
	reached := func(limit float64) bool { return v >= limit && !t.atMost || v <= limit && t.atMost }
	switch {
	case reached(t.aim):
		return "aim"
	case reached(t.floor):
		return "floor"
	}
	return "missed"
}
