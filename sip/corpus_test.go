package sip

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The notation of RFC 4475 section 2.
var (
	oneLine = regexp.MustCompile(`(?s)<allOneLine>\n(.*?)</allOneLine>`)
	repeat  = regexp.MustCompile(`<repeat count=(\d+)>([^<]*)</repeat>`)
	octets  = regexp.MustCompile(`(?s)<hex>([0-9A-Fa-f\n]*)</hex>`)
)

// Torture reads the messages of a file in RFC 4475's notation.
func Torture(t testing.TB, name string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string][]byte{}
	sections := regexp.MustCompile(`(?m)^-- ([\w-]+) --\n`)
	at := sections.FindAllSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		s := string(text[m[1]:end])
		s = oneLine.ReplaceAllStringFunc(s, func(s string) string {
			return strings.ReplaceAll(oneLine.FindStringSubmatch(s)[1], "\n", "")
		})
		s = repeat.ReplaceAllStringFunc(s, func(s string) string {
			m := repeat.FindStringSubmatch(s)
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return strings.Repeat(m[2], n)
		})
		s = strings.ReplaceAll(s, "\n", "\r\n")
		s = octets.ReplaceAllStringFunc(s, func(s string) string {
			raw, err := hex.DecodeString(strings.ReplaceAll(octets.FindStringSubmatch(s)[1], "\r\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		})
		messages[string(text[m[2]:m[3]])] = []byte(s)
	}
	return messages
}
