package repotest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The root go.mod is what customers import: each further line in it is a line
// in their go.sum, and a newer "go" line forces their toolchain.
func TestRootModuleRequiresExactlyFourPackages(t *testing.T) {
	t.Parallel()
	mod := readGoMod(t, "go.mod")
	assert.Equal(t, "github.com/ringyo-ai/webhook", mod.path)
	assert.Equal(t, "1.25.0", mod.goVersion)
	assert.ElementsMatch(t, []string{
		"github.com/cenkalti/backoff/v4",
		"github.com/google/uuid",
		"github.com/stretchr/testify",
		"go.uber.org/goleak",
	}, mod.direct)
	assert.Empty(t, mod.replaced, "a published module replaces nothing")
	assert.Empty(t, mod.toolchain, "a toolchain line is for us alone; go.work has it")
}

// Nested modules hold drivers and heavy tools. They are never published, so
// each stands on this checkout and on nothing of ours from elsewhere.
func TestNestedModulesStandOnThisCheckout(t *testing.T) {
	t.Parallel()
	nested := nestedModules(t)
	require.NotEmpty(t, nested)
	workspace := workspaceModules(t)
	for _, file := range nested {
		dir := filepath.ToSlash(filepath.Dir(file))
		mod := readGoMod(t, file)
		assert.Equal(t, "github.com/ringyo-ai/webhook/"+dir, mod.path, file)
		if dir == "tools" {
			assert.NotContains(t, workspace, dir, "its dependencies must not move the versions under test")
			continue
		}
		assert.Contains(t, workspace, dir, "go.work lacks a module")
		up := strings.TrimSuffix(strings.Repeat("../", strings.Count(dir, "/")+1), "/")
		assert.Equal(t, up, mod.replaced["github.com/ringyo-ai/webhook"], file)
	}
}

type goMod struct {
	path, goVersion, toolchain string
	direct                     []string
	replaced                   map[string]string
}

// readGoMod reads the lines that matter here; golang.org/x/mod would be a
// fifth requirement.
func readGoMod(t *testing.T, file string) goMod {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	mod := goMod{replaced: map[string]string{}}
	block := ""
	for line := range strings.Lines(string(text)) {
		line, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(line)
		if block != "" && len(words) > 0 && words[0] != ")" {
			words = append([]string{block}, words...)
		}
		switch {
		case len(words) == 0:
		case words[0] == ")":
			block = ""
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		default:
			mod.add(words, strings.TrimSpace(comment))
		}
	}
	return mod
}

func (m *goMod) add(words []string, comment string) {
	switch words[0] {
	case "module":
		m.path = words[1]
	case "go":
		m.goVersion = words[1]
	case "toolchain":
		m.toolchain = words[1]
	case "require":
		if comment != "indirect" {
			m.direct = append(m.direct, words[1])
		}
	case "replace":
		m.replaced[words[1]] = words[len(words)-1]
	}
}

// nestedModules returns the go.mod files below the root's own.
func nestedModules(t *testing.T) []string {
	t.Helper()
	var found []string
	for file := range repositoryFiles(t) {
		if filepath.Base(file) == "go.mod" && file != "go.mod" {
			found = append(found, file)
		}
	}
	return found
}

// workspaceModules returns the directories that go.work joins.
func workspaceModules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("go.work")
	require.NoError(t, err)
	var dirs []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "use "))
		if len(words) == 1 && strings.HasPrefix(words[0], ".") {
			dirs = append(dirs, strings.TrimPrefix(words[0], "./"))
		}
	}
	return dirs
}
