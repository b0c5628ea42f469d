package repotest

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const modulePath = "github.com/ringyo-ai/webhook"

// mayImport says which packages of ours each package of the published module may
// import; "internal/..." stands for all below internal. Imports point one way: the
// mechanisms below internal know no webhook type, the root is built from them, and
// everything else is built from the root. A row may stand for a package that is
// yet to come. A package without a row may import what [byDefault] says.
var mayImport = map[string][]string{
	".":        {"internal/..."},
	"receive":  {".", "internal/..."},
	"sqlinbox": {".", "receive", "internal/sqldb"}, // an Inbox is a Deduper

	"internal/batch":      {"internal/safe"},
	"internal/check":      {},
	"internal/egress":     {},
	"internal/hookrun":    {"internal/safe"},
	"internal/http1":      {},
	"internal/httpsend":   {"internal/check", "internal/egress", "internal/http1", "internal/nameserver", "internal/safe"},
	"internal/id":         {},
	"internal/jsontext":   {"internal/safe"},
	"internal/lanes":      {"internal/safe"},
	"internal/mangle":     {"internal/jsontext"},
	"internal/nameserver": {},
	"internal/outage":     {},
	"internal/safe":       {},
	"internal/signature":  {},
	"internal/sqldb":      {},
	"internal/storeclock": {},

	"webhooktest":         {".", "memstore", "internal/..."},
	"webhookui":           {".", "webhookapi", "internal/..."}, // who asks, and the catalogue, are the same
	"internal/dedupetest": {".", "receive"},                    // used by tests alone
}

// byDefault is what a package without a row may import.
func byDefault(dir string) []string {
	if strings.HasPrefix(dir, "internal/") {
		return nil // add a row to mayImport
	}
	return []string{".", "internal/..."}
}

// allowed reports whether the package in dir may import the one in target.
func allowed(dir, target string) bool {
	rules, ok := mayImport[dir]
	if !ok {
		rules = byDefault(dir)
	}
	return slices.Contains(rules, target) ||
		strings.HasPrefix(target, "internal/") && slices.Contains(rules, "internal/...")
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for file, src := range shippedFiles(t) {
		for _, imported := range importsOf(t, src) {
			if target, ok := ours(imported); ok {
				assert.True(t, allowed(path.Dir(file), target), "%s imports %s", file, imported)
			}
		}
	}
}

func TestImportRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dir, target string
		want        bool
	}{
		{".", "internal/egress", true},
		{".", "internal/new", true},
		{".", "receive", false},
		{".", "memstore", false},
		{"receive", ".", true},
		{"receive", "internal/safe", true},
		{"receive", "sqlstore", false},
		{"sqlstore", "receive", false},
		{"sqlinbox", "receive", true},
		{"sqlinbox", "sqlstore", false},
		{"sqlstore", "memstore", false},
		{"memstore", ".", true},
		{"memstore", "receive", false},
		{"webhooktest", "memstore", true},
		{"storetest", "memstore", false},
		{"new", ".", true},
		{"new", "memstore", false},
		{"internal/lanes", ".", false},
		{"internal/lanes", "internal/safe", true},
		{"internal/safe", "internal/lanes", false},
		{"internal/new", "internal/safe", false},
		{"internal/new", ".", false},
	} {
		assert.Equal(t, c.want, allowed(c.dir, c.target), "%s imports %s", c.dir, c.target)
	}
}

// ours returns the directory of a package of this repository, "." for the root.
func ours(imported string) (dir string, ok bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}
