package itest_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
)

// manySecrets are texts that could stand in an environment: good secrets, and what
// editors, shells, other encodings and other products make of them.
func manySecrets(prefix string) []string {
	var all []string
	for _, size := range []int{0, 1, 16, 23, 24, 25, 26, 31, 32, 33, 48, 63, 64, 65, 66, 96} {
		for _, fill := range []string{"k", "\x00", "\xff", "\xfb\xef\xbe"} {
			raw := []byte(strings.Repeat(fill, size)[:size])
			good := base64.StdEncoding.EncodeToString(raw)
			all = append(all,
				prefix+good,
				prefix+base64.RawStdEncoding.EncodeToString(raw),
				prefix+base64.URLEncoding.EncodeToString(raw),
				prefix+base64.RawURLEncoding.EncodeToString(raw),
				prefix+prefix+good,
				prefix+base64.StdEncoding.EncodeToString([]byte(prefix+good)),
				strings.ToUpper(prefix)+good, strings.ToUpper(prefix[:1])+prefix[1:]+good,
				strings.TrimSuffix(prefix, "_")+good, strings.Replace(prefix, "_", "-", 1)+good,
			)
			for _, other := range []string{"", "sk_", "whsec_", "whsk_", "whpk_", "whsec", "whsec_test_", "_"} {
				all = append(all, other+good)
			}
			for _, around := range []string{
				" ", "\t", "\n", "\r\n", "\r", "\v", "\f", "\x00", "\u00a0", "\u2028", "\ufeff", "\u200b",
				`"`, "'", "`", ",", ";", "=", "==", "====", "A", "A===", "%0A", `\n`, "é", "😀",
			} {
				all = append(all,
					around+prefix+good, prefix+around+good, prefix+good+around, around+prefix+good+around,
					prefix+good[:len(good)/2]+around+good[len(good)/2:])
			}
		}
	}
	return append(all, otherCharacters(prefix)...)
}

// otherCharacters has every character in the places of a secret that matter: the first,
// the middle, and before the padding, where some bits belong to no byte.
func otherCharacters(prefix string) (all []string) {
	for _, size := range []int{24, 25, 26, 32} {
		good := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", size)))
		last := len(strings.TrimRight(good, "=")) - 1
		for c := rune(0); c <= 0x17f; c++ {
			for _, i := range []int{0, len(good) / 2, last} {
				all = append(all, prefix+good[:i]+string(c)+good[i+1:])
			}
		}
	}
	return all
}

// decides is a program that writes, as JSON, which of the texts in a file the function
// of the documentation takes.
type decides struct {
	name, heading, language, command, prefix string
	from, to                                 string // the function in the snippet
	before, after                            string // what makes a program of it
}

var deciders = []decides{
	{
		"Node", "## Other languages", "js", "node", "whsec_", "function readSecret", "\n}\n",
		"import { readFileSync } from 'node:fs';\n", `
const takes = (text) => { try { return readSecret(text).length > 0; } catch { return false; } };
console.log(JSON.stringify(JSON.parse(readFileSync(process.argv[2])).map(takes)));`,
	},
	{
		"public keys in Node", "### Public keys", "js", "node", "whpk_", "import", "\n}\n",
		"import { readFileSync } from 'node:fs';\n", `
const takes = (text) => { try { readPublicKey(text); return true; } catch { return false; } };
console.log(JSON.stringify(JSON.parse(readFileSync(process.argv[2])).map(takes)));`,
	},
	{
		"n8n", "## n8n", "js", "node", "whsec_", "const encoded", "\n}\n",
		"import { readFileSync } from 'node:fs';\nfunction check(secret) {\n", `
}
const takes = (text) => { try { check(text); return true; } catch { return false; } };
console.log(JSON.stringify(JSON.parse(readFileSync(process.argv[2])).map(takes)));`,
	},
	{
		"Python", "## Other languages", "python", "python3", "whsec_", "def read_secret", "\n    return key\n",
		"import base64, json, sys\n", `
def takes(text):
    try:
        return len(read_secret(text)) > 0
    except SystemExit:
        return False

print(json.dumps([takes(text) for text in json.load(open(sys.argv[1], encoding="utf-8"))]))`,
	},
	{
		"PHP", "## Other languages", "php", "php", "whsec_", "function readSecret", "\n}\n",
		"<?php\nini_set('error_log', '/dev/null');\n", `
$takes = function ($text) { try { return strlen(readSecret($text)) > 0; } catch (DomainException $e) { return false; } };
echo json_encode(array_map($takes, json_decode(file_get_contents($argv[1]))));`,
	},
	{
		"Ruby", "## Other languages", "ruby", "ruby", "whsec_", "def read_secret", "\nend\n",
		"require 'json'\n$stderr.reopen(File::NULL)\n", `
takes = ->(text) { begin; !read_secret(text).empty?; rescue SystemExit; false; end }
puts JSON.generate(JSON.parse(File.read(ARGV[0], encoding: "UTF-8")).map(&takes))`,
	},
}

// program is the source of d.
func (d decides) program(t *testing.T) string {
	t.Helper()
	code := docSnippet(t, d.heading, d.language)
	_, rest, found := strings.Cut(code, d.from)
	require.True(t, found, d.from)
	body, _, found := strings.Cut(rest, d.to)
	require.True(t, found, d.to)
	function := d.from + body + d.to
	if d.language == "php" { // which ends the request, and here the program
		require.Contains(t, function, "exit;")
		function = strings.Replace(function, "exit;", "throw new DomainException();", 1)
	}
	return d.before + function + d.after
}

// A text is a secret in every language, or in none: one that a receiver reads in
// another way than the sender makes a weak key, or refuses everything.
func TestSecretsAreTheSameInEveryLanguage(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it runs other programs, and go test work runs it")
	}
	for _, d := range deciders {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			command := needCommand(t, d.command)
			texts := manySecrets(d.prefix)
			list, err := json.Marshal(texts)
			require.NoError(t, err)
			dir := t.TempDir()
			file, program := filepath.Join(dir, "texts.json"), filepath.Join(dir, "decide.mjs")
			require.NoError(t, os.WriteFile(file, list, 0o600))
			require.NoError(t, os.WriteFile(program, []byte(d.program(t)), 0o600))
			out, err := exec.CommandContext(t.Context(), command, program, file).Output()
			require.NoError(t, err)
			var takes []bool
			require.NoError(t, json.Unmarshal(out, &takes), string(out))
			require.Len(t, takes, len(texts))
			taken := 0
			for i, text := range texts {
				_, err := webhook.ParseSecret(text)
				want := err == nil && strings.HasPrefix(text, d.prefix)
				assert.Equal(t, want, takes[i], "%q", text)
				if want {
					taken++
				}
			}
			assert.Greater(t, taken, 3, "good ones are among them")
			t.Logf("%d texts, %d of them secrets", len(texts), taken)
		})
	}
}
