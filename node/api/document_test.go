package api

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite openapi.json")

// The committed document is what a node serves, so a change of the API shows in
// review.
func TestDocument(t *testing.T) {
	w := newWorld(t)
	res, got := w.request(http.MethodGet, "/api/v1/openapi.json", "", "")
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if *update {
		if err := os.WriteFile("openapi.json", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(got), want) {
		t.Error("openapi.json is not what the API serves: go test ./node/api -run TestDocument -update")
	}
}
