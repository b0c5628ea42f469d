package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fence says which files of the published module may import a package. All
// others may not; files of tests (_test.go) may import anything.
type fence struct {
	name    string
	imports *regexp.Regexp
	allowed func(file string) bool
}

var fences = []fence{
	{
		"test libraries stay out of shipped code", // they would be linked into users' programs
		regexp.MustCompile(`^(github\.com/stretchr/testify|go\.uber\.org/goleak)(/|$)`),
		nowhere,
	},
	{
		"net/http/httptest is for webhooktest", // it registers flags in every program that links it
		regexp.MustCompile(`^net/http/httptest$`),
		inDirs("webhooktest"),
	},
	{
		"testing is for the packages that only tests import",
		regexp.MustCompile(`^testing(/|$)`),
		func(file string) bool { return strings.HasSuffix(path.Dir(file), "test") },
	},
	{
		"the caller brings the database driver",
		regexp.MustCompile(`^(github\.com/jackc/|github\.com/go-sql-driver/|github\.com/lib/pq|github\.com/mattn/|modernc\.org/)`),
		nowhere,
	},
	{
		"database/sql is for sqlstore",
		regexp.MustCompile(`^database/sql(/|$)`),
		inDirs("sqlstore"),
	},
	{
		"only retry.go knows backoff",
		regexp.MustCompile(`^github\.com/cenkalti/backoff/`),
		files("retry.go"),
	},
	{
		"only internal/id knows uuid",
		regexp.MustCompile(`^github\.com/google/uuid$`),
		files("internal/id/id.go"),
	},
	{
		"everything else is the standard library",
		regexp.MustCompile(`^[^/]*\.[^/]*/`),
		func(file string) bool { return file == "retry.go" || file == "internal/id/id.go" },
	},
}

func nowhere(string) bool { return false }

func files(names ...string) func(string) bool {
	return func(file string) bool { return slices.Contains(names, file) }
}

func inDirs(names ...string) func(string) bool {
	return func(file string) bool {
		first, _, _ := strings.Cut(file, "/")
		return slices.Contains(names, first)
	}
}

func TestImportFences(t *testing.T) {
	t.Parallel()
	for _, f := range fences {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for file, src := range shippedFiles(t) {
				for _, imported := range importsOf(t, src) {
					if _, ok := ours(imported); ok || !f.imports.MatchString(imported) {
						continue
					}
					assert.True(t, f.allowed(file), "%s imports %s", file, imported)
				}
			}
		})
	}
}

// A first run of the quickstart takes seconds because it needs no driver.
func TestQuickstartNeedsNothingButTheLibrary(t *testing.T) {
	t.Parallel()
	entries, err := filepath.Glob("examples/quickstart/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, file := range entries {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, imported := range importsOf(t, string(src)) {
			first, _, _ := strings.Cut(imported, "/")
			_, library := ours(imported)
			assert.True(t, library || !strings.Contains(first, "."), "%s imports %s", file, imported)
			assert.NotEqual(t, modulePath+"/sqlstore", imported, file)
		}
	}
}

// The root go.mod promises Go 1.25. A newer toolchain compiles newer API all
// the same, so the names that it lists as new are looked for in the text.
func TestNothingNewerThanTheGoLine(t *testing.T) {
	t.Parallel()
	newer := newerNames(t)
	for file, src := range rootModuleFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
		require.NoError(t, err)
		packages := map[string]string{}
		for _, imported := range importsOf(t, src) {
			packages[path.Base(imported)] = imported
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok {
					name := packages[pkg.Name] + "." + s.Sel.Name
					assert.False(t, newer[name], "%s uses %s", file, name)
				}
			}
			return true
		})
	}
}

// newerNames returns "path.Name" of each function, type, constant and variable
// that the standard library gained after the go line of go.mod, from the lists
// that every Go installation has. New methods and fields are left to the build
// on that version.
func newerNames(t *testing.T) map[string]bool {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	entry := regexp.MustCompile(`^pkg ([^ ,]+)(?: \([^)]*\))?, (?:func|const|var|type) ([A-Z]\w*)`)
	member := regexp.MustCompile(`, type [A-Z]\w* (?:struct|interface), `)
	names := map[string]bool{}
	for minor := 26; ; minor++ {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "api", "go1."+strconv.Itoa(minor)+".txt"))
		if err != nil {
			return names // no newer release is installed
		}
		for line := range strings.Lines(string(text)) {
			if m := entry.FindStringSubmatch(line); m != nil && !member.MatchString(line) {
				names[m[1]+"."+m[2]] = true
			}
		}
	}
}

func importsOf(t *testing.T, src string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "", src, parser.ImportsOnly)
	require.NoError(t, err)
	var paths []string
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		paths = append(paths, p)
	}
	return paths
}

// shippedFiles returns what users of the published module can link.
func shippedFiles(t *testing.T) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for file, src := range rootModuleFiles(t) {
			if !strings.HasSuffix(file, "_test.go") && !yield(file, src) {
				return
			}
		}
	}
}

// rootModuleFiles returns the Go files of the published module, tests too.
func rootModuleFiles(t *testing.T) iter.Seq2[string, string] {
	t.Helper()
	var nested []string
	for _, file := range nestedModules(t) {
		nested = append(nested, path.Dir(file)+"/")
	}
	return func(yield func(string, string) bool) {
		for file := range repositoryFiles(t) {
			elsewhere := slices.ContainsFunc(nested, func(dir string) bool { return strings.HasPrefix(file, dir) })
			if elsewhere || !strings.HasSuffix(file, ".go") {
				continue
			}
			src, err := os.ReadFile(file)
			require.NoError(t, err)
			if !yield(file, string(src)) {
				return
			}
		}
	}
}

// repositoryFiles returns the slash-separated paths of all files, except those
// that the go command does not look at either.
func repositoryFiles(t *testing.T) iter.Seq[string] {
	t.Helper()
	return func(yield func(string) bool) {
		err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && file != "."):
				return fs.SkipDir
			case !d.IsDir() && !yield(file):
				return fs.SkipAll
			}
			return nil
		})
		require.NoError(t, err)
	}
}
