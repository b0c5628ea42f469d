package itest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/race"
)

// What a customer pays for importing the library just to verify: three
// requirements, twelve checksums, no newer Go, and next to no code. The program
// measured is the least that does something with an event: a server that verifies,
// decodes the JSON and prints it, beside the same server with a verification
// written by hand on the standard library.
func TestFootprintOfVerifying(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it builds programs, and go test work runs it")
	}
	library := libraryModule(t, "library")
	byhand := customerModule(t, "byhand")

	mod := readLines(t, filepath.Join(library, "go.mod"))
	assert.Contains(t, mod, "go 1.25.0", "the customer's go line must stay")
	assert.LessOrEqual(t, requirements(mod), 3, "requirements in go.mod:\n%s", strings.Join(mod, "\n"))
	sum := readLines(t, filepath.Join(library, "go.sum"))
	assert.LessOrEqual(t, len(sum), 12, "lines of go.sum:\n%s", strings.Join(sum, "\n"))

	with, without := binarySize(t, library), binarySize(t, byhand)
	t.Logf("%d requirements, %d lines of go.sum, binary %d bytes against %d by hand: %+.2f %%",
		requirements(mod), len(sum), with, without, 100*float64(with-without)/float64(without))
	assert.LessOrEqual(t, with, without+without/100, "the binary may be 1 %% larger")
}

// A Receiver brings payloads, de-duplication, a queue, log/slog, and what Explain
// knows of encoders and compressors, which is 3 of the 9 %.
func TestFootprintOfReceiving(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it builds programs, and go test work runs it")
	}
	with, without := binarySize(t, libraryModule(t, "receiver")), binarySize(t, customerModule(t, "byhand"))
	t.Logf("binary %d bytes against %d by hand: %+.2f %%", with, without, 100*float64(with-without)/float64(without))
	assert.LessOrEqual(t, with, without+10*without/100, "the binary may be 10 %% larger")
}

// sending are the beginnings of the symbols that only a sender may link, after the
// module's path: packages, and types of the root.
var sending = []string{
	"/internal/lanes.",
	"/internal/batch.",
	"/internal/httpsend.",
	"/internal/egress.",
	"/memstore.",
	".(*Engine).",
	".(*HTTPTransport).",
	".(*checker).",
}

func TestWhoeverReceivesLinksNothingThatSends(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it builds programs, and go test work runs it")
	}
	for name, sends := range map[string]bool{"library": false, "receiver": false, "sender": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := libraryModule(t, name)
			goCommand(t, module, "build", "-o", "binary", ".")
			symbols := goCommand(t, module, "tool", "nm", "binary")
			for _, begin := range sending {
				if dir, isPackage := strings.CutPrefix(strings.TrimSuffix(begin, "."), "/"); isPackage {
					if _, err := os.Stat(filepath.Join("../..", dir)); err != nil {
						continue // there is none yet
					}
				}
				linked := strings.Contains(symbols, "github.com/ringyo-ai/webhook"+begin)
				assert.Equal(t, sends, linked, "%s: a sender shows that the name is right, and the others must not link it", begin)
			}
		})
	}
}

// libraryModule makes a module of testdata/footprint/NAME that requires the library.
func libraryModule(t *testing.T, name string) string {
	t.Helper()
	checkout, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := customerModule(t, name)
	goCommand(t, dir, "mod", "edit", "-require", "github.com/ringyo-ai/webhook@v0.0.0", "-replace", "github.com/ringyo-ai/webhook="+checkout)
	goCommand(t, dir, "mod", "tidy")
	return dir
}

// customerModule makes a module of testdata/footprint/NAME.
func customerModule(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata/footprint", name))))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/customer\n\ngo 1.25.0\n"), 0o600))
	return dir
}

func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
	return string(out)
}

func binarySize(t *testing.T, dir string) int64 {
	t.Helper()
	goCommand(t, dir, "build", "-o", "binary", ".")
	info, err := os.Stat(filepath.Join(dir, "binary"))
	require.NoError(t, err)
	return info.Size()
}

func requirements(mod []string) int {
	n := 0
	for _, line := range mod {
		line = strings.TrimPrefix(line, "require ")
		if words := strings.Fields(line); len(words) >= 2 && strings.HasPrefix(words[1], "v") {
			n++
		}
	}
	return n
}

func readLines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
