package objects_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
)

// server keeps what is PUT, rates and payments, and normalises as a node does: a
// choice that was left open comes back as its default, an address with a mask.
type server struct {
	objects map[string]map[string]any
	rates   map[string]string
	ledger  []client.Transfer
	writes  []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, client.Prefix)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	if r.Method != http.MethodGet && r.URL.Query().Get("dry_run") == "" {
		s.writes = append(s.writes, r.Method+" "+path)
		w.Header().Set(client.HeaderIndex, fmt.Sprint(len(s.writes)))
	}
	parts := strings.Split(path, "/")
	switch {
	case strings.HasSuffix(path, "/imports"):
		if r.URL.Query().Get("dry_run") == "" {
			s.rates[parts[2]] = string(body)
		}
		json.NewEncoder(w).Encode(client.Import{Table: parts[2], Rows: 1, Added: 1, Index: uint64(len(s.writes))})
	case strings.HasSuffix(path, "/export"):
		io.WriteString(w, s.rates[parts[2]])
	case strings.HasSuffix(path, "/ledger"):
		json.NewEncoder(w).Encode(client.List[client.Transfer]{Items: s.ledger})
	case strings.HasSuffix(path, "/topups"):
		var p client.Payment
		if err := json.Unmarshal(body, &p); err != nil {
			panic(err)
		}
		s.ledger = append(s.ledger, client.Transfer{Amount: p.Amount, Memo: p.Memo})
		json.NewEncoder(w).Encode(client.Posted{Amount: p.Amount, Index: uint64(len(s.writes))})
	case r.Method == http.MethodPut:
		var object map[string]any
		if err := json.Unmarshal(body, &object); err != nil {
			panic(err)
		}
		if strings.HasPrefix(path, "/gateways/mapping/") {
			object["media"], object["source"], object["addrs"] = "auto", "auto", []string{"127.0.0.51/32"}
		}
		s.objects[path] = object
		json.NewEncoder(w).Encode(object)
	case s.objects[path] != nil:
		json.NewEncoder(w).Encode(s.objects[path])
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"code": %q, "detail": "%s is not there"}`, client.CodeNotFound, path)
	}
}

func start(t *testing.T) (*server, *client.Client) {
	t.Helper()
	s := &server{objects: map[string]map[string]any{"/params/SS_RING_TIMEOUT": {"name": "SS_RING_TIMEOUT", "value": "60"}}, rates: map[string]string{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c, err := client.New(client.Config{Addrs: []string{srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func apply(t *testing.T, c *client.Client, doc objects.Document, dryRun bool) []string {
	t.Helper()
	var steps []string
	err := doc.Apply(t.Context(), c, objects.Options{DryRun: dryRun, Report: func(s objects.Step) {
		steps = append(steps, strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Kind, s.ID, s.Action)))
	}})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// What is applied twice is written once, a dry run writes nothing, and a change
// in the file is the only thing that is written then.
func TestApply(t *testing.T) {
	doc, err := objects.Parse("t.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	doc.RateTables[0].Rates = []byte("prefix,price\n86,0.0145\n")
	s, c := start(t)
	first := []string{
		"parameter SS_RING_TIMEOUT changed", "number list whitelist created", "rate table std created", "account acme created",
		"mapping gateway in created", "routing gateway out created", "package p100 created", "top-up acme/first created",
	}
	if d := cmp.Diff(first, apply(t, c, doc, true)); d != "" || len(s.writes) > 0 {
		t.Fatalf("dry run wrote %v\n%s", s.writes, d)
	}
	if d := cmp.Diff(first, apply(t, c, doc, false)); d != "" {
		t.Fatal(d)
	}
	// As a node exports what was imported.
	s.rates["std"] = "prefix,area,price,connect_fee,first,next,minimum,free\n86,,0.0145,0.00,1,1,0,0\n"
	s.writes = nil
	for _, step := range apply(t, c, doc, false) {
		if !strings.HasSuffix(step, " unchanged") {
			t.Error(step)
		}
	}
	if len(s.writes) > 0 {
		t.Errorf("the second time wrote %v", s.writes)
	}
	doc.Accounts[0].Credit++
	doc.RateTables[0].Rates = []byte("prefix,price\n86,0.0146\n")
	apply(t, c, doc, false)
	if d := cmp.Diff([]string{"POST /rate-tables/std/imports", "PUT /accounts/acme"}, s.writes); d != "" {
		t.Error(d)
	}
}

// A key that has paid is not taken for another amount.
func TestApplyOtherAmount(t *testing.T) {
	doc := objects.Document{TopUps: []objects.TopUp{{Account: "acme", Amount: 100_000, Key: "first"}}}
	_, c := start(t)
	apply(t, c, doc, false)
	doc.TopUps[0].Amount++
	err := doc.Apply(t.Context(), c, objects.Options{})
	if err == nil || !strings.Contains(err.Error(), "top-up acme/first: paid 0.10 already, not 0.100001") {
		t.Errorf("error %v", err)
	}
}

// The object that was refused is named.
func TestApplyStops(t *testing.T) {
	_, c := start(t)
	doc := objects.Document{
		Parameters: []objects.Parameter{{Name: "SS_NONE", Value: "1"}},
		Accounts:   []objects.Account{{ID: "acme"}},
	}
	err := doc.Apply(t.Context(), c, objects.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "parameter SS_NONE: ") {
		t.Error(err)
	}
}
