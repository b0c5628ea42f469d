package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The README opens its part on receiving with this program.
func TestTheProgramFitsOnAScreen(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("main.go")
	require.NoError(t, err)
	_, program, found := strings.Cut(string(src), "\npackage main\n")
	require.True(t, found)
	assert.LessOrEqual(t, strings.Count(program, "\n")+1, 25)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, part, found := strings.Cut(string(readme), "\n## Receive\n")
	require.True(t, found)
	_, block, found := strings.Cut(part, "```go\n")
	require.True(t, found)
	assert.True(t, strings.HasPrefix(block, "package main\n"+program), "the first block of the part on receiving")
}
