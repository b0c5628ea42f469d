package repotest

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the root may hold, so that a visitor sees the architecture: the code files
// read in order, and beside them what everybody needs. What only contributors need
// is in tools and internal.
const (
	maxCodeFiles = 30
	maxTestFiles = 40
	maxOthers    = 26  // one more for each public package
	maxLines     = 450 // of each Go file
)

func TestTheRootStaysSmall(t *testing.T) {
	t.Parallel()
	var code, tests, others []string
	for _, name := range rootEntries(t) {
		switch {
		case strings.HasSuffix(name, "_test.go"):
			tests = append(tests, name)
		case strings.HasSuffix(name, ".go"):
			code = append(code, name)
		default:
			others = append(others, name)
		}
	}
	assert.LessOrEqual(t, len(code), maxCodeFiles, "code files: %q", code)
	assert.LessOrEqual(t, len(tests), maxTestFiles, "test files: %q", tests)
	assert.LessOrEqual(t, len(others), maxOthers, "other entries: %q", others)
	for _, name := range append(code, tests...) {
		assert.LessOrEqual(t, strings.Count(readFile(t, name), "\n"), maxLines, name)
	}
}

// rootEntries returns the names in the root, without those that git ignores.
func rootEntries(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if !ignored(t, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

func ignored(t *testing.T, name string) bool {
	t.Helper()
	for line := range strings.Lines("/.git\n" + readFile(t, ".gitignore")) {
		pattern := strings.Trim(strings.TrimSpace(line), "/")
		found, err := path.Match(pattern, name)
		require.NoError(t, err)
		if found && !strings.HasPrefix(line, "#") {
			return true
		}
	}
	return false
}
