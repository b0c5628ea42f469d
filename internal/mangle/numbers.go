package mangle

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is tried for numbers: each leaf alone, the same change to all, and
// all combinations for the first ones.
const (
	maxLeaves       = 64
	maxCombinations = 2048
)

// leaf is a literal that encoders write in several ways.
type leaf struct {
	n     *node
	forms []string // the first is as it came
}

func (l leaf) isNumber() bool { return l.forms[0] != "[]" && l.forms[0] != "null" }

// renumbered has numbers as other languages write them: JavaScript makes 1 of 1.0,
// 1000 of 1e3, 0 of -0 and 19.9 of 19.90, Python 1000.0 of 1e3, PHP [] of {}, Laravel
// null of an empty text.
func renumbered(s subject) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, d := range s.documents() {
			leaves := d.root.leaves(nil)
			for range variations(leaves) {
				for _, st := range styles()[:3] {
					if !yield(d.write(st)) {
						return
					}
				}
			}
			for _, l := range leaves {
				l.n.text = l.forms[0]
			}
		}
	}
}

// leaves appends those under n that have several forms.
func (n *node) leaves(all []leaf) []leaf {
	if len(all) >= maxLeaves {
		return all
	}
	if n.kind == 0 {
		if forms := formsOf(n.text); len(forms) > 1 {
			all = append(all, leaf{n, forms})
		}
	}
	for _, kid := range n.kids {
		all = kid.leaves(all)
	}
	return all
}

// formsOf returns the literal and its other forms.
func formsOf(literal string) []string {
	switch literal {
	case "[]":
		return []string{literal, "{}"}
	case "null":
		return []string{literal, `""`}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return nil
	}
	forms := []string{literal}
	add := func(s string) {
		if !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	whole := !strings.Contains(plain, ".")
	exact := !whole || len(plain) <= 15
	if exact {
		add(plain)
	}
	switch {
	case whole && exact:
		add(plain + ".0")
		add(plain + ".00")
	case !whole:
		add(plain + "0")
	}
	if f == 0 {
		add("-0")
		add("-0.0")
	}
	if strings.HasSuffix(plain, "00") || !exact || strings.HasPrefix(strings.TrimPrefix(plain, "-"), "0.0") || strings.ContainsAny(literal, "eE") {
		for _, form := range exponents(f) {
			add(form)
		}
	}
	return forms
}

// exponents are the forms of f with an exponent: 1e3, 1e+3, 1e+03, 1.0e+3 and so on.
func exponents(f float64) (forms []string) {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, _ := strconv.Atoi(exponent)
	short := strconv.Itoa(n)
	signed := short
	if n >= 0 {
		signed = "+" + short
	}
	for _, e := range []string{"e" + short, "E" + short, "e" + signed, "e" + exponent, "E" + signed, "E" + exponent} {
		forms = append(forms, mantissa+e)
		if !strings.Contains(mantissa, ".") {
			forms = append(forms, mantissa+".0"+e)
		}
	}
	return forms
}

// variations sets the leaves to one combination of forms after the other.
func variations(leaves []leaf) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		set := func(i, form int) { leaves[i].n.text = leaves[i].forms[min(form, len(leaves[i].forms)-1)] }
		// All alike: numbers as they came, then plain, .0 and .00; and empty values.
		for others := range 2 {
			for form := range 4 {
				for i := range leaves {
					if leaves[i].isNumber() {
						set(i, form)
					} else {
						set(i, others)
					}
				}
				if !yield(struct{}{}) {
					return
				}
			}
		}
		for i := range leaves {
			set(i, 0)
		}
		for i := range leaves {
			for form := 1; form < len(leaves[i].forms); form++ {
				set(i, form)
				if !yield(struct{}{}) {
					return
				}
			}
			set(i, 0)
		}
		combinations(leaves, yield)
	}
}

// combinations counts through the forms of the leaves as through the digits of a
// number, and goes as far as maxCombinations.
func combinations(leaves []leaf, yield func(struct{}) bool) {
	digits := make([]int, len(leaves))
	for range maxCombinations {
		i := 0
		for ; i < len(leaves); i++ {
			digits[i] = (digits[i] + 1) % len(leaves[i].forms)
			leaves[i].n.text = leaves[i].forms[digits[i]]
			if digits[i] > 0 {
				break
			}
		}
		if i == len(leaves) || !yield(struct{}{}) {
			return
		}
	}
}
