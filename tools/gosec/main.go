// Command gosec runs the rules of github.com/securego/gosec over packages and
// fails on any finding. It is gosec's engine without gosec's own command,
// because that links the SDKs of three AI vendors for a feature nobody uses
// here: it takes four minutes of CPU to compile, this takes seconds.
//
//	usage: gosec DIRECTORY...
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"sort"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/issue"
	"github.com/securego/gosec/v2/rules"
)

// excluded holds the rules that are off everywhere, each with its reason. What
// is wrong in one place only is excluded there: #nosec RULE -- reason.
var excluded = map[string]string{}

func main() {
	found, err := check(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gosec:", err)
		os.Exit(2)
	}
	for _, i := range found {
		fmt.Printf("%s: %s: %s\n", i.FileLocation(), i.RuleID, i.What)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

func check(dirs []string) ([]*issue.Issue, error) {
	config := gosec.NewConfig()
	config.SetGlobal(gosec.NoSecRequireRules, "true")
	config.SetGlobal(gosec.NoSecRequireJustification, "true")
	analyzer := gosec.NewAnalyzer(config, false, false, false, runtime.NumCPU(), log.New(io.Discard, "", 0))
	off := make([]string, 0, len(excluded))
	for rule := range excluded {
		off = append(off, rule)
	}
	analyzer.LoadRules(rules.Generate(false, rules.NewRuleFilter(true, off...)).RulesInfo())
	analyzer.LoadAnalyzers(analyzers.Generate(false, analyzers.NewAnalyzerFilter(true, off...)).AnalyzersInfo())
	if err := analyzer.Process(nil, dirs...); err != nil {
		return nil, err
	}
	found, metrics, errs := analyzer.Report()
	for file, list := range errs {
		return nil, fmt.Errorf("%s: %v", file, list)
	}
	if metrics.NumFiles == 0 {
		return nil, fmt.Errorf("no Go file in %v", dirs)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].FileLocation() < found[j].FileLocation() })
	fmt.Printf("gosec: %d files, %d lines, %d findings\n", metrics.NumFiles, metrics.NumLines, len(found))
	return found, nil
}
