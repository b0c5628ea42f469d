package repotest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Code in the documentation is copied from files that the compiler sees. The
// line before a Go block says from where:
//
//	<!-- from: example_emit_test.go#Example_emit -->   the body of the function, or the declaration of the type, constant or variable
//	<!-- from: examples/receiver/main.go -->                 the whole file from its package clause on
//	<!-- part of: example_emit_test.go#Example_emit -->  some lines of it, in one piece
//
// The last comment of an example, which holds its output, is left out, and so
// is indentation that all lines share.
var markerForm = regexp.MustCompile(`^<!-- (from|part of): ([^ #]+\.go)(?:#(\w+))? -->$`)

// docBlock is one fenced block of a Markdown file.
type docBlock struct {
	file     string
	line     int
	language string
	marker   string // the last line of text before the block
	text     string
}

func TestGoCodeInDocsIsCompiled(t *testing.T) {
	t.Parallel()
	for _, block := range docBlocks(t) {
		if block.language == "go" {
			assert.Empty(t, problemOf(block), "%s:%d", block.file, block.line)
		}
	}
}

func TestGoCodeInDocsMustMatch(t *testing.T) {
	t.Parallel()
	const text = "text\n\n%s\n\n```go\n%s\n```\n"
	const body = `at := outputComment.FindStringIndex(code)
if at == nil {
	return code
}
return code[:at[0]]`
	for name, c := range map[string]struct{ marker, code, problem string }{
		"whole body":   {"<!-- from: internal/repotest/docs_test.go#withoutOutput -->", body, ""},
		"part of body": {"<!-- part of: internal/repotest/docs_test.go#withoutOutput -->", "if at == nil {\n\treturn code\n}", ""},
		"declaration":  {"<!-- from: internal/repotest/docs_test.go#outputComment -->", "var outputComment = regexp.MustCompile(`(?m)^\\s*// (Output|Unordered output):`)", ""},
		"no marker":    {"Like this:", body, "marker"},
		"other code":   {"<!-- from: internal/repotest/docs_test.go#withoutOutput -->", "return code", "differs"},
		"too little":   {"<!-- from: internal/repotest/docs_test.go#withoutOutput -->", "if at == nil {\n\treturn code\n}", "differs"},
		"deeper part":  {"<!-- part of: internal/repotest/docs_test.go#withoutOutput -->", "return code", ""},
		"not a part":   {"<!-- part of: internal/repotest/docs_test.go#withoutOutput -->", "return nothing", "not a part"},
		"no such name": {"<!-- from: internal/repotest/docs_test.go#missing -->", body, "find missing"},
		"no such file": {"<!-- from: missing.go -->", body, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocks := blocksOf("x.md", fmt.Sprintf(text, c.marker, c.code))
			require.Len(t, blocks, 1)
			if c.problem == "" {
				assert.Empty(t, problemOf(blocks[0]))
				return
			}
			assert.Contains(t, problemOf(blocks[0]), c.problem)
		})
	}
}

// problemOf says what is wrong with a Go block, or "".
func problemOf(block docBlock) string {
	m := markerForm.FindStringSubmatch(block.marker)
	if m == nil {
		return "a Go block needs a marker line before it, such as <!-- from: example_emit_test.go#Example_emit -->"
	}
	want, err := sourceOf(m[2], m[3])
	if err != nil {
		return err.Error()
	}
	got := dedent(block.text)
	switch {
	case m[1] == "from" && got != want:
		return "differs from " + m[2] + "#" + m[3] + ", which is:\n" + want
	case m[1] == "part of" && !isPart(want, got):
		return "is not a part of " + m[2] + "#" + m[3] + ", which is:\n" + want
	}
	return ""
}

// The README opens with two programs that fit on a screen.
func TestTheReadmeOpensWithShortPrograms(t *testing.T) {
	t.Parallel()
	var markers []string
	for _, block := range blocksOf("README.md", readFile(t, "README.md")) {
		if block.language == "go" && strings.HasPrefix(block.text, "package main\n") {
			markers = append(markers, block.marker)
			assert.LessOrEqual(t, strings.Count(block.text, "\n"), 25, block.marker)
		}
	}
	assert.Equal(t, []string{"<!-- from: examples/emit/main.go -->", "<!-- from: examples/receiveall/main.go -->"}, markers)
}

// Commands that the documentation tells a reader to type name things that exist.
func TestCommandsInDocsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	ci, err := os.ReadFile(".ci/run")
	require.NoError(t, err)
	runs := regexp.MustCompile(`\bgo run (\./[\w./-]+)`)
	makes := regexp.MustCompile(`^make ([a-z-]+)`)
	for _, block := range docBlocks(t) {
		if block.language != "sh" {
			continue
		}
		for line := range strings.Lines(block.text) {
			for _, m := range runs.FindAllStringSubmatch(line, -1) {
				assert.DirExists(t, m[1], "%s:%d", block.file, block.line)
				assert.Contains(t, string(ci), "go run "+m[1], "%s:%d: .ci/run does not run it", block.file, block.line)
			}
			if m := makes.FindStringSubmatch(line); m != nil {
				assert.Contains(t, string(makefile), "\n"+m[1]+":", "%s:%d: make has no such target", block.file, block.line)
			}
		}
	}
}

// The map of CONTRIBUTING.md is short and names what exists.
func TestTheMapOfTheRepositoryIsRight(t *testing.T) {
	t.Parallel()
	_, rest, found := strings.Cut(readFile(t, "CONTRIBUTING.md"), "| place | what |\n|---|---|\n")
	require.True(t, found)
	table, _, _ := strings.Cut(rest, "\n\n")
	rows := strings.Split(table, "\n")
	assert.LessOrEqual(t, len(rows), 25)
	for _, row := range rows {
		place := strings.Split(row, "|")[1]
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(place, -1) {
			matches, err := filepath.Glob(m[1])
			require.NoError(t, err)
			assert.NotEmpty(t, matches, "%s is not there", m[1])
		}
	}
}

// Links between the files of this repository lead somewhere.
func TestLinksInDocsExist(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)
	for file, text := range docFiles(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			_, err := os.Stat(filepath.Join(path.Dir(file), m[1]))
			assert.NoError(t, err, "%s links to %s", file, m[1])
		}
	}
}

// docFiles returns the Markdown files of the repository.
func docFiles(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for file := range repositoryFiles(t) {
		if strings.HasSuffix(file, ".md") {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			found[file] = string(text)
		}
	}
	return found
}

func docBlocks(t *testing.T) []docBlock {
	t.Helper()
	var blocks []docBlock
	for file, text := range docFiles(t) {
		blocks = append(blocks, blocksOf(file, text)...)
	}
	return blocks
}

func blocksOf(file, text string) []docBlock {
	var (
		blocks []docBlock
		open   bool
		before string
	)
	for i, line := range strings.Split(text, "\n") {
		word, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !open:
			blocks = append(blocks, docBlock{file: file, line: i + 1, language: word, marker: before})
			open = true
		case fence:
			open, before = false, ""
		case open:
			blocks[len(blocks)-1].text += line + "\n"
		case strings.TrimSpace(line) != "":
			before = strings.TrimSpace(line)
		}
	}
	return blocks
}

// isPart reports whether part is some lines of whole, in one piece and at any
// indentation.
func isPart(whole, part string) bool {
	lines, n := strings.Split(whole, "\n"), strings.Count(part, "\n")+1
	for i := 0; i+n <= len(lines); i++ {
		if dedent(strings.Join(lines[i:i+n], "\n")) == part {
			return true
		}
	}
	return false
}

// sourceOf returns the code of a declaration, or of a whole file.
func sourceOf(file, name string) (string, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, src, parser.ParseComments)
	if err != nil {
		return "", err
	}
	if name == "" {
		return dedent(string(src[fset.Position(parsed.Package).Offset:])), nil
	}
	from, to, ok := find(parsed, name)
	if !ok {
		return "", &os.PathError{Op: "find " + name, Path: file, Err: os.ErrNotExist}
	}
	code := src[fset.Position(from).Offset:fset.Position(to).Offset]
	return dedent(withoutOutput(string(code))), nil
}

// find returns where the body of a function, or a declaration, begins and ends.
func find(file *ast.File, name string) (from, to token.Pos, ok bool) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name && d.Body != nil {
				return d.Body.Lbrace + 1, d.Body.Rbrace, true
			}
		case *ast.GenDecl:
			if declares(d, name) {
				return d.Pos(), d.End(), true
			}
		}
	}
	return 0, 0, false
}

func declares(d *ast.GenDecl, name string) bool {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.Name == name {
				return true
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.Name == name {
					return true
				}
			}
		}
	}
	return false
}

var outputComment = regexp.MustCompile(`(?m)^\s*// (Output|Unordered output):`)

// withoutOutput cuts an example's output, the last comment, off its body.
func withoutOutput(code string) string {
	at := outputComment.FindStringIndex(code)
	if at == nil {
		return code
	}
	return code[:at[0]]
}

// dedent removes the tabs that all lines begin with, and blank lines around.
func dedent(code string) string {
	lines := strings.Split(strings.TrimRight(strings.TrimLeft(code, "\n"), "\n\t "), "\n")
	shared := len(code)
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			shared = min(shared, len(line)-len(strings.TrimLeft(line, "\t")))
		}
	}
	for i, line := range lines {
		lines[i] = line[min(shared, len(line)):]
	}
	return strings.Join(lines, "\n")
}
