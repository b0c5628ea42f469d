package repotest

import (
	"log"
	"os"
	"testing"
)

// All paths in these tests are those of the repository, with slashes.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}
