package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// metric is one figure of a measurement.
type metric struct {
	title string
	value func(measurement) float64
	text  func(float64) string
	ratio bool // compared with the other contenders and variants
}

var (
	rate     = metric{"deliveries/s", func(m measurement) float64 { return m.rate }, whole, true}
	p50      = metric{"p50", func(m measurement) float64 { return float64(m.p50) }, span, true}
	p99      = metric{"p99", func(m measurement) float64 { return float64(m.p99) }, span, true}
	cpu      = metric{"CPU of sender + store per 1,000", func(m measurement) float64 { return float64(m.cpu) * 1000 }, span, true}
	missing  = metric{"undelivered", func(m measurement) float64 { return float64(m.missing) }, whole, false}
	memory   = metric{"resident memory", func(m measurement) float64 { return m.memory }, mebibytes, true}
	routines = metric{"goroutines", func(m measurement) float64 { return m.routines }, whole, false}
	idle     = metric{"share of one processor", func(m measurement) float64 { return m.idleShare }, percent, false}
)

func whole(v float64) string     { return fmt.Sprintf("%.0f", v) }
func percent(v float64) string   { return fmt.Sprintf("%.2f %%", 100*v) }
func mebibytes(v float64) string { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }

func span(v float64) string {
	d := time.Duration(v)
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	}
}

// cell names a series of measurements, one per round.
type cell struct{ scenario, variant, contender string }

type results map[cell][]measurement

// median returns a metric's median over the rounds.
func (r results) median(c cell, m metric) (float64, bool) {
	values := make([]float64, 0, len(r[c]))
	for _, one := range r[c] {
		values = append(values, m.value(one))
	}
	return middle(values)
}

// ratio returns the median of the rounds' own ratios: what moves the whole
// machine from round to round moves both.
func (r results) ratio(a, b cell, m metric) (float64, bool) {
	over, under := r[a], r[b]
	values := make([]float64, 0, len(over))
	for i := range min(len(over), len(under)) {
		if v := m.value(under[i]); v != 0 {
			values = append(values, m.value(over[i])/v)
		}
	}
	return middle(values)
}

func middle(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

// write prints one scenario as a Markdown table.
func (r results) write(w io.Writer, s scenario) {
	fmt.Fprintf(w, "\n## %s\n\n", s.title)
	var heads []string
	if len(s.variants) > 1 {
		heads = append(heads, "")
	}
	against := r.against(s)
	for _, m := range s.show {
		heads = append(heads, m.title)
		if !m.ratio {
			continue
		}
		if len(s.variants) > 1 {
			heads = append(heads, "of "+s.variants[0].label)
		}
		for _, name := range against {
			heads = append(heads, "of "+name)
		}
	}
	fmt.Fprintf(w, "| | %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)+1))
	for _, name := range s.who {
		for _, v := range s.variants {
			r.row(w, s, name, v, against)
		}
	}
}

// against returns the contenders that the others are compared with here.
func (r results) against(s scenario) []string {
	var names []string
	for _, name := range []string{bareName, riverTunedName, riverDefaultName} {
		if _, ok := r[cell{s.name, s.variants[0].label, name}]; ok {
			names = append(names, name)
		}
	}
	return names
}

func (r results) row(w io.Writer, s scenario, name string, v variant, against []string) {
	here := cell{s.name, v.label, name}
	if len(r[here]) == 0 {
		return
	}
	row := []string{name}
	if len(s.variants) > 1 {
		row = append(row, v.label)
	}
	for _, m := range s.show {
		value, _ := r.median(here, m)
		row = append(row, m.text(value))
		if !m.ratio {
			continue
		}
		if len(s.variants) > 1 {
			row = append(row, r.ratioText(here, cell{s.name, s.variants[0].label, name}, m))
		}
		for _, other := range against {
			row = append(row, r.ratioText(here, cell{s.name, v.label, other}, m))
		}
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
}

func (r results) ratioText(a, b cell, m metric) string {
	v, ok := r.ratio(a, b, m)
	if !ok || a == b {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}
