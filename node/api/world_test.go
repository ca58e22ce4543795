package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/node/backup"
	"tandem/node/cdr"
	"tandem/node/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = fsm.Time(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixMicro())

// world is the API over a real state machine, behind a cluster of one node that
// applies commands directly.
type world struct {
	t     *testing.T
	url   string
	cdrs  *cdr.Store
	admin *client.Client
	logs  *bytes.Buffer
	kept  ring // SIP messages

	mu     sync.Mutex // the fields below
	state  *fsm.State
	index  uint64
	at     fsm.Time
	status cluster.Status
	err    error    // of consensus
	asked  int      // ReadIndex calls
	gone   []string // nodes that were taken out of consensus
	tokens map[string]client.Credential
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, state: fsm.New(fsm.Config{}), at: epoch, logs: &bytes.Buffer{}, tokens: map[string]client.Credential{},
		kept: ring{trace.New(trace.Config{})},
		status: cluster.Status{
			ID: "n1", ClusterID: "c1", State: "Leader", Leader: "n1", Term: 3,
			Members: []cluster.Member{{ID: "n1", Addr: "10.0.0.11:7946", Alive: true}, {ID: "n2", Addr: "10.0.0.12:7946", Alive: true}, {ID: "n3", Addr: "10.0.0.13:7946"}},
			Peers: []cluster.Peer{
				{ID: "n1", Addr: "10.0.0.11:7946", Voter: true, Leader: true},
				{ID: "n2", Addr: "10.0.0.12:7946", Voter: true, LastContact: 20 * time.Millisecond},
				{ID: "n3", Addr: "10.0.0.13:7946", Voter: true, LastContact: time.Second},
			},
		},
	}
	store, err := cdr.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- store.Run(ctx) }()
	w.cdrs = store
	handler, err := New(Config{
		Node: "n1", Version: "1.2.3", Proposer: w, State: w, Cluster: w, Operator: w, CDRs: store, Traces: w.kept,
		Logger: slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	w.apply("", &fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level, Version: "1.2.3"})
	w.admin = w.as(client.RoleAdmin)
	return w
}

// as returns a client with a token of a role.
func (w *world) as(role string) *client.Client {
	w.t.Helper()
	c, err := client.New(client.Config{Addrs: []string{w.url}, Token: w.token(role)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) token(role string) string {
	w.t.Helper()
	if w.tokens[role].ID == "" {
		made := client.NewCredential()
		w.tokens[role] = made
		w.must(&fsm.PutToken{Token: fsm.Token{ID: made.ID, Name: role, Role: role, Hash: made.Hash()}})
	}
	return w.tokens[role].String()
}

// apply commits a command a millisecond later.
func (w *world) apply(key string, body fsm.Body) fsm.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	w.at = w.at.Add(time.Millisecond)
	done := w.state.Apply(w.index, fsm.Entry{At: w.at, Commands: []fsm.Command{{Key: key, Body: body}}})
	if err := w.cdrs.Append(&done); err != nil {
		w.t.Error(err)
	}
	return done.Results[0]
}

// must commits a command that has to succeed.
func (w *world) must(body fsm.Body) fsm.Result {
	w.t.Helper()
	r := w.apply("", body)
	if r.Code != fsm.OK {
		w.t.Fatalf("%s: %s: %s", body.Kind(), r.Code, r.Detail)
	}
	return r
}

// wait lets log time pass.
func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	w.at = w.at.Add(d)
	w.mu.Unlock()
	w.apply("", &fsm.Tick{})
}

func (w *world) breakWith(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if errors.Is(err, cluster.ErrNoLeader) {
		w.status.Leader = ""
	}
}

func (w *world) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Propose implements Proposer, by way of the encoding as in production.
func (w *world) Propose(_ context.Context, _ cluster.Lane, key string, body fsm.Body) (fsm.Result, error) {
	if err := w.failure(); err != nil {
		return fsm.Result{}, err
	}
	b, err := fsm.AppendBody(nil, key, body)
	if err != nil {
		return fsm.Result{}, err
	}
	key, body, err = fsm.DecodeBody(b)
	if err != nil {
		return fsm.Result{}, err
	}
	return w.apply(key, body), nil
}

// View implements State.
func (w *world) View(fn func(*fsm.State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(w.state)
}

// ReadIndex implements Cluster.
func (w *world) ReadIndex(context.Context) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.index, w.err
}

// Status implements Cluster.
func (w *world) Status() cluster.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.status
	st.Commit, st.Applied = w.index, w.index
	return st
}

// Backup implements Operator: one with an index, or one that breaks off.
func (w *world) Backup(_ context.Context, out io.Writer) (backup.Manifest, error) {
	b := backup.NewWriter(out, []byte("key"), backup.Head{ClusterID: "c1"})
	if _, err := io.WriteString(b.State(), strings.Repeat("state", 100_000)); err != nil {
		return backup.Manifest{}, err
	}
	if err := w.failure(); err != nil {
		return backup.Manifest{}, err
	}
	return b.Close(7, epoch.Std())
}

// Transfer implements Operator.
func (w *world) Transfer(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Leader = "n2"
	return w.err
}

// Remove implements Operator: a fourth node may go, a third one with force.
func (w *world) Remove(_ context.Context, node string, force bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !force {
		return fmt.Errorf("remove %s: %w: 2 voters would be left, at least 3", node, cluster.ErrQuorum)
	}
	w.gone = append(w.gone, node)
	return w.err
}

// request makes a plain HTTP request and returns the answer with its body.
func (w *world) request(method, path, token, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(b)
}

// problemOf returns the problem that an error is.
func problemOf(t *testing.T, err error) *client.Problem {
	t.Helper()
	var p *client.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error %v is no problem of the API", err)
	}
	return p
}

// wants checks status and code of a refusal.
func wants(t *testing.T, err error, status int, code string) *client.Problem {
	t.Helper()
	p := problemOf(t, err)
	if p.Status != status || p.Code != code {
		t.Fatalf("problem %d %s (%s), want %d %s", p.Status, p.Code, p.Detail, status, code)
	}
	if p.Node != "n1" || p.Type != "/problems/"+code || p.Title == "" || p.Detail == "" {
		t.Errorf("problem is not complete: %+v", p)
	}
	return p
}

const carrier = `prefix,area,price,first,next
44,United Kingdom,0.02,1,1
4420,London,0.01,60,60
8613,China Mobile,0.0145,1,1
`

// business sets up a client with an ingress and a vendor with an egress, with
// rates, and money.
func (w *world) business() {
	w.t.Helper()
	c, ctx := w.admin, w.t.Context()
	ok := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for _, table := range []string{"retail", "wholesale"} {
		_, _, err := c.PutRateTable(ctx, table, client.RateTableSettings{Currency: "USD"})
		ok(err)
		_, err = c.ImportRates(ctx, table, []byte(carrier), "", false)
		ok(err)
	}
	_, _, err := c.PutAccount(ctx, "acme", client.AccountSettings{Type: client.AccountClient, Currency: "USD", RateTable: "retail"})
	ok(err)
	_, _, err = c.PutAccount(ctx, "telco", client.AccountSettings{Type: client.AccountVendor, Currency: "USD", RateTable: "wholesale"})
	ok(err)
	_, err = c.TopUp(ctx, "acme", client.Payment{Amount: 100_000_000}, "")
	ok(err)
	_, _, err = c.PutMappingGateway(ctx, "acme-in", client.MappingSettings{Account: "acme", Addrs: []string{"192.0.2.10"}})
	ok(err)
	_, _, err = c.PutRoutingGateway(ctx, "telco-out", client.RoutingSettings{
		Account: "telco", Prefixes: []string{""}, Addrs: []string{"203.0.113.9"},
	})
	ok(err)
}

// place starts a call and has it answered.
func (w *world) place(n byte, callee string) fsm.CallID {
	w.t.Helper()
	id := fsm.CallID{15: n}
	source, err := fsm.ParseAddr("192.0.2.10:5060")
	if err != nil {
		w.t.Fatal(err)
	}
	start := fsm.StartCall{Call: id, Source: source, SourceVia: "udp", Caller: "442071234567", Callee: callee, SIPCallID: "x@y"}
	w.owned(&start)
	w.owned(&fsm.AnswerCall{Call: id, Epoch: 1, Codec: "PCMA"})
	return id
}

// owned commits a command of node n1.
func (w *world) owned(body fsm.Body) fsm.Result {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	w.at = w.at.Add(time.Millisecond)
	origin := fsm.Origin{Node: "n1", Incarnation: 1, Seq: w.index, Low: w.index}
	done := w.state.Apply(w.index, fsm.Entry{At: w.at, Commands: []fsm.Command{{Origin: origin, Body: body}}})
	if err := w.cdrs.Append(&done); err != nil {
		w.t.Error(err)
	}
	if r := done.Results[0]; r.Code != fsm.OK {
		w.t.Fatalf("%s: %s: %s", body.Kind(), r.Code, r.Detail)
	}
	return done.Results[0]
}
