package repotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cases says how many there are in each group of internal/repotest/hostile.md.
var cases = map[string]int{"A": 58, "B": 44, "C": 12, "D": 24, "E": 30, "F": 14, "G": 9, "H": 28}

var (
	caseRow    = regexp.MustCompile(`(?m)^\| ([A-H]\d+(?:, [A-H]\d+)*) \|`)
	caseNumber = regexp.MustCompile(`[A-H]\d+`)
	caseNamed  = regexp.MustCompile(`\b[A-H]\d+\b`)
	caseRange  = regexp.MustCompile(`\b([A-H])(\d+) to ([A-H])(\d+)\b`)
	// A test's name says what holds; the case stands beside it or in a subtest's name.
	testWithCode = regexp.MustCompile(`(?m)^func (?:Test|Fuzz|Benchmark)[A-H]\d+\w*`)
)

// Every case of internal/repotest/hostile.md is named by a test, or the end of the file
// says why it is not.
func TestEveryHostileCaseIsNamedByATest(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, row := range caseRow.FindAllStringSubmatch(readFile(t, "internal/repotest/hostile.md"), -1) {
		for _, n := range caseNumber.FindAllString(row[1], -1) {
			assert.False(t, listed[n], "%s is listed twice", n)
			listed[n] = true
		}
	}
	named := map[string]bool{}
	for _, src := range testSources(t) {
		assert.Empty(t, testWithCode.FindString(src), "a name that only the list of cases explains")
		for n := range namedCases(src) {
			named[n] = true
		}
	}
	_, untested, found := strings.Cut(readFile(t, "internal/repotest/hostile.md"), "## Cases without a test")
	require.True(t, found)
	untested, _, _ = strings.Cut(untested, "\n## ")
	for group, n := range cases {
		for i := 1; i <= n; i++ {
			number := group + strconv.Itoa(i)
			assert.True(t, listed[number], "internal/repotest/hostile.md does not list %s", number)
			decided := regexp.MustCompile(`\b` + number + `\b`).MatchString(untested)
			assert.True(t, named[number] != decided, "%s: named by a test %t, decided otherwise %t", number, named[number], decided)
			delete(listed, number)
		}
	}
	assert.Empty(t, listed, "more cases than there are")
}

func TestNumbersOfCasesAreFoundWhereTheyStand(t *testing.T) {
	t.Parallel()
	for src, want := range map[string][]string{
		"func TestLate(t) { // D23, D24":   {"D23", "D24"},
		`{"B2 F13 no answer", 1}, // A7`:   {"B2", "F13", "A7"},
		"// F1 to F3: killed":              {"F1", "F2", "F3"},
		"sha 9A1, 0xA1, FE80, xA3, A1b2c3": nil,
		`t.Run("E26 refused alone", f`:     {"E26"},
	} {
		got := namedCases(src)
		assert.Len(t, got, len(want), src)
		for _, n := range want {
			assert.True(t, got[n], "%s in %s", n, src)
		}
	}
}

func namedCases(src string) map[string]bool {
	named := map[string]bool{}
	for _, n := range caseNamed.FindAllString(src, -1) {
		named[n] = true
	}
	for _, m := range caseRange.FindAllStringSubmatch(src, -1) {
		first, _ := strconv.Atoi(m[2])
		last, _ := strconv.Atoi(m[4])
		for i := first; m[1] == m[3] && i <= last; i++ {
			named[m[1]+strconv.Itoa(i)] = true
		}
	}
	return named
}

// testSources are the tests of all modules, and the suites that tests run.
func testSources(t *testing.T) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Base(path) == "cases_test.go":
		case strings.HasSuffix(path, "_test.go"), strings.HasSuffix(path, ".go") && strings.HasSuffix(filepath.Dir(path), "test"):
			all = append(all, readFile(t, path))
		}
		return nil
	}))
	return all
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}
