package webhooktest_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failingTest stands in for the test that a helper reports to.
type failingTest struct {
	testing.TB
	cleanups []func()
	failures []string
}

// fatal is what Fatalf panics with, where a test would end.
type fatal struct{ text string }

func (f *failingTest) Helper()          {}
func (f *failingTest) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *failingTest) Errorf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func (f *failingTest) Fatalf(format string, args ...any) {
	panic(fatal{fmt.Sprintf(format, args...)})
}

// fatally answers the text with which f ends the test.
func fatally(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		ended, ok := recover().(fatal)
		if !ok {
			t.Error("the test was not ended")
		}
		text = ended.text
	}()
	f()
	return ""
}
