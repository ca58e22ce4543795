package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/fsm"
	"tandem/node/api/client"
)

func TestMappingGatewayLife(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleRouting)
	settings := client.MappingSettings{
		Account: "acme", Addrs: []string{"192.0.2.20", "2001:db8::/64"}, Port: 5070, TechPrefix: "99", MaxCalls: 10, MaxCPS: 5,
		RateTable: "retail", Routes: []string{"telco-out"}, DenyRoutes: true, Media: "must-on", Source: "strict", NAT: true,
		Rules: client.NumberRules{
			AllowCaller: []string{"44"}, DenyCaller: []string{"447"}, AllowCallee: []string{"86"}, DenyCallee: []string{"869"},
			CallerPlan: []client.Transform{{From: "0", To: "44"}}, CalleePlan: []client.Transform{{From: "00", To: ""}}, Lengths: "3-15,17-17",
		},
	}
	g, receipt, err := c.PutMappingGateway(ctx, "in2", settings)
	if err != nil || receipt.Index != w.index {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if settings.Rules.Lengths = g.Rules.Lengths; g.Rules.Lengths == "" {
		t.Error("lengths are lost")
	}
	if diff := cmp.Diff(client.MappingGateway{ID: "in2", MappingSettings: settings}, g); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list, err := c.MappingGateways(ctx, client.GatewayQuery{Account: "acme"})
	if err != nil || len(list.Items) != 2 || list.Items[0].ID != "acme-in" {
		t.Errorf("%+v, %v", list, err)
	}
	_, _, err = c.PutMappingGateway(ctx, "in3", client.MappingSettings{Account: "acme", Addrs: []string{"192.0.2.10"}})
	if p := wants(t, err, http.StatusConflict, client.CodeConflict); !strings.Contains(p.Detail, "acme-in") {
		t.Errorf("detail %q", p.Detail)
	}
	_, _, err = c.PutMappingGateway(ctx, "in3", client.MappingSettings{Account: "telco", Addrs: []string{"192.0.2.30"}})
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, _, err = c.PutMappingGateway(ctx, "in3", client.MappingSettings{
		Account: "acme", Addrs: []string{"192.0.2.30"}, Rules: client.NumberRules{Lengths: "9-3"},
	})
	if p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid); p.Errors[0].Location != "body.rules.lengths" {
		t.Errorf("%+v", p.Errors)
	}
	if _, err := c.DeleteMappingGateway(ctx, "in2"); err != nil {
		t.Error(err)
	}
	_, _, err = c.MappingGateway(ctx, "in2")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	_, err = c.DeleteMappingGateway(ctx, "in2")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestRoutingGatewayLife(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleRouting)
	settings := client.RoutingSettings{
		Account: "telco", Prefixes: []string{"44", "86"}, Mode: "terminate", Priority: -3, Addrs: []string{"203.0.113.7", "[2001:db8::7]:5080"},
		Via: "tcp", Disabled: true, MaxCalls: 4, MaxCPS: 9, CPSPeriod: client.Seconds(2 * time.Second), MaxDuration: client.Seconds(time.Hour),
		Ring: client.Seconds(20 * time.Second), FirstTry: client.Seconds(1500 * time.Millisecond), Standalone: true, CheckRate: true,
		MinProfit: -1_000_000, MaxRate: 2_000_000_000, Source: "any", NAT: true,
	}
	g, _, err := c.PutRoutingGateway(ctx, "out2", settings)
	if err != nil {
		t.Fatal(err)
	}
	settings.Addrs[0] = "203.0.113.7:5060"
	if diff := cmp.Diff(client.RoutingGateway{ID: "out2", RoutingSettings: settings}, g); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.must(&fsm.GatewayHealth{Gateway: "out2", Out: time.Minute, Reason: "Retry-After"})
	got, _, err := c.RoutingGateway(ctx, "out2")
	if err != nil || got.OutReason != "Retry-After" || got.OutUntil.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := c.RoutingGateways(ctx, client.GatewayQuery{})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	_, _, err = c.PutRoutingGateway(ctx, "out3", client.RoutingSettings{Account: "telco", Addrs: []string{"host.example:5060"}})
	if p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid); p.Errors[0].Location != "body.addrs[0]" {
		t.Errorf("%+v", p.Errors)
	}
	if _, err := c.DeleteRoutingGateway(ctx, "out2"); err != nil {
		t.Error(err)
	}
	_, _, err = c.RoutingGateway(ctx, "out2")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestParameters(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	list, err := w.as(client.RoleViewer).Parameters(ctx)
	if err != nil || len(list.Items) != len(fsm.Registry()) {
		t.Fatalf("%d parameters, %v", len(list.Items), err)
	}
	for _, p := range list.Items {
		if p.Name == "" || p.Kind == "" || p.Range == "" || p.About == "" || p.Changed || p.Value != p.Default {
			t.Errorf("parameter %+v", p)
		}
	}
	p, receipt, err := w.admin.SetParameter(ctx, "SERVER_BILLING_FEE_PRECISTION", " 2 ")
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "SERVER_BILLING_FEE_PRECISION" || p.Value != "2" || p.Default != "6" || !p.Changed || receipt.Index != w.index {
		t.Errorf("%+v at %+v", p, receipt)
	}
	if got, _, err := w.admin.Parameter(ctx, "server_billing_fee_precision"); err != nil || got.Value != "2" {
		t.Errorf("%+v, %v", got, err)
	}
	_, _, err = w.admin.SetParameter(ctx, "SERVER_BILLING_FEE_PRECISION", "7")
	if p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid); !strings.Contains(p.Hint, "from 0 to 6") {
		t.Errorf("hint %q", p.Hint)
	}
	_, _, err = w.admin.SetParameter(ctx, "SS_NOTHING", "7")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestBlacklist(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleOperator)
	b, receipt, err := c.PutBlock(ctx, "+44 20 7", client.BlockSettings{For: client.Seconds(time.Minute), Memo: "fraud"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Number != "44207" || b.List != client.ListMalicious || !b.Manual || b.Memo != "fraud" || receipt.Index != w.index {
		t.Errorf("%+v at %+v", b, receipt)
	}
	if life := b.Until.Sub(b.Since.Time); life.Round(time.Second) != time.Minute {
		t.Errorf("blocked for %s", life)
	}
	for _, list := range []string{client.ListNoAnswer, client.ListConcurrent} {
		if b, _, err = c.PutBlock(ctx, "44207", client.BlockSettings{List: list, Forever: true, Account: "acme"}); err != nil || !b.Until.IsZero() {
			t.Errorf("%+v, %v", b, err)
		}
	}
	why, err := c.WhyBlocked(ctx, "44207")
	if err != nil || len(why.Items) != 3 {
		t.Fatalf("%+v, %v", why, err)
	}
	var listed []string
	for b, err := range client.Each(ctx, client.BlockQuery{Page: client.Page{Limit: 1}}, c.Blocks) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, b.List)
	}
	if diff := cmp.Diff([]string{"malicious", "no-answer", "concurrent"}, listed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if page, err := c.Blocks(ctx, client.BlockQuery{List: client.ListNoAnswer, Account: "acme"}); err != nil || len(page.Items) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	if d, err := c.DeleteBlock(ctx, "44207", client.ListNoAnswer, ""); err != nil || d.Count != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = c.DeleteBlock(ctx, "44207", "", "telco-out")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	if d, err := c.DeleteBlock(ctx, "44207", "", ""); err != nil || d.Count != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = c.DeleteBlock(ctx, "44207", "", "")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	_, err = c.WhyBlocked(ctx, "44207")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	_, _, err = c.PutBlock(ctx, "alice", client.BlockSettings{})
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, _, err = c.PutBlock(ctx, "44", client.BlockSettings{Scope: "ghost"})
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
}

func TestNumberLists(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.as(client.RoleOperator)
	l, _, err := c.PutNumberList(ctx, "whitelist", client.NumberListSettings{Numbers: []string{"999", "112", "999"}, Memo: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	want := client.NumberList{Name: "whitelist", NumberListSettings: client.NumberListSettings{Numbers: []string{"112", "999"}, Memo: "ours"}}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err = c.PutNumberList(ctx, "empty", client.NumberListSettings{}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.NumberList(ctx, "whitelist"); err != nil || len(got.Numbers) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	lists, err := c.NumberLists(ctx, client.NumberListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]client.NumberListInfo{{Name: "empty"}, {Name: "whitelist", Count: 2, Memo: "ours"}}, lists.Items); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, _, err = c.PutNumberList(ctx, "bad", client.NumberListSettings{Numbers: []string{"12x"}})
	if p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid); !strings.Contains(p.Detail, "12x") {
		t.Errorf("detail %q", p.Detail)
	}
	if _, err = c.DeleteNumberList(ctx, "empty"); err != nil {
		t.Error(err)
	}
	_, _, err = c.NumberList(ctx, "empty")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

// A call is listed while it lives, ended by an operator, and then a record.
func TestCallsAndRecords(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleOperator)
	first, second := w.place(1, "8613800138000"), w.place(2, "442079460000")
	w.wait(10 * time.Second)
	live, err := c.Calls(ctx, client.CallQuery{})
	if err != nil || len(live.Items) != 2 {
		t.Fatalf("%+v, %v", live, err)
	}
	call, _, err := c.Call(ctx, callID(first))
	if err != nil {
		t.Fatal(err)
	}
	if call.State != "answered" || call.Node != "n1" || call.Account != "acme" || call.Ingress != "acme-in" || call.Egress != "telco-out" ||
		call.Prefix != "8613" || call.Price != 14_500_000 || call.Duration.Duration().Round(time.Second) != 10*time.Second || call.Cost == 0 {
		t.Errorf("call %+v", call)
	}
	for name, q := range map[string]client.CallQuery{
		"account": {Account: "acme", Number: "8613800138000"}, "gateway": {Gateway: "telco-out", Number: "8613800138000"},
		"state": {State: "answered", Number: "8613800138000"}, "node": {Node: "n1", Number: "8613800138000"},
		"page": {Page: client.Page{Limit: 1}},
	} {
		if got, err := c.Calls(ctx, q); err != nil || len(got.Items) != 1 || got.Items[0].ID != callID(first) {
			t.Errorf("%s: %+v, %v", name, got.Items, err)
		}
	}
	pages := 0
	for _, err := range client.Each(ctx, client.CallQuery{Page: client.Page{Limit: 1}}, c.Calls) {
		if pages++; err != nil {
			t.Fatal(err)
		}
	}
	if pages != 2 {
		t.Errorf("%d calls over all pages", pages)
	}
	ended, err := c.EndCall(ctx, callID(first))
	if err != nil || ended.CDR != 1 || ended.Fee == 0 || ended.Index != w.index {
		t.Fatalf("%+v, %v", ended, err)
	}
	_, err = c.EndCall(ctx, callID(first))
	if p := wants(t, err, http.StatusNotFound, client.CodeNotFound); !strings.Contains(p.Hint, "tandem cdr show 1") {
		t.Errorf("hint %q", p.Hint)
	}
	_, _, err = c.Call(ctx, "xyz")
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)

	cdr, _, err := c.CDR(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if cdr.Fee != ended.Fee || cdr.Reason != "operator" || cdr.EndedBy != "server" || cdr.Rate == nil || cdr.Rate.Prefix != "8613" ||
		cdr.CostRate == nil || cdr.Rate.Unrounded == "" || cdr.Account != "acme" || cdr.Vendor != "telco" {
		t.Errorf("cdr %+v", cdr)
	}
	w.owned(&fsm.EndCall{Call: second, Epoch: 1, How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCallee})
	var seqs []uint64
	for r, err := range client.Each(ctx, client.CDRQuery{Page: client.Page{Limit: 1}, From: timeOf(epoch), Account: "acme", Answered: true}, c.CDRs) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, r.Seq)
	}
	if diff := cmp.Diff([]uint64{2, 1}, seqs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, q := range map[string]client.CDRQuery{
		"reason": {Reason: "operator"}, "number": {Number: "8613800138000"}, "gateway and end": {Gateway: "telco-out", To: cdr.Ended, From: timeOf(epoch)},
	} {
		want := 1
		if name == "gateway and end" {
			want = 0
		}
		if got, err := c.CDRs(ctx, q); err != nil || len(got.Items) != want || got.Partial {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err = c.CDRs(ctx, client.CDRQuery{Reason: "boredom"})
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, _, err = c.CDR(ctx, 99)
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestClusterViews(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleViewer)
	w.place(1, "8613800138000")
	s, _, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := client.Status{
		Cluster: "c1", Node: "n1", Version: "1.2.3", Health: client.Degraded, Survives: 0, Leader: "n1", Term: 3, Commit: w.index,
		Applied: w.index, Level: fsm.Level, Voters: 3, VotersUp: 2, Calls: 1, Accounts: 2, Gateways: 2, Tables: 2, Transfers: 1, Ready: true, At: s.At,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	members, err := c.Members(ctx)
	if err != nil || len(members.Items) != 3 {
		t.Fatalf("%+v, %v", members, err)
	}
	if m := members.Items[0]; m.Node != "n1" || m.State != "alive" || m.Role != "leader" || !m.Up || m.Calls != 1 || m.Version != "1.2.3" {
		t.Errorf("%+v", m)
	}
	if m := members.Items[2]; m.Node != "n3" || m.State != "dead" || m.Role != "voter" || m.Address != "10.0.0.13:7946" {
		t.Errorf("%+v", m)
	}
	peers, err := c.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, p := range peers.Items {
		states = append(states, p.State)
	}
	if diff := cmp.Diff([]string{"leader", "follower", "silent"}, states); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for w.index < 2048 {
		w.apply("", &fsm.Tick{})
	}
	hashes, err := c.Checkpoints(ctx)
	if err != nil || len(hashes.Items) != 2 || hashes.Items[0].Index != 2048 || len(hashes.Items[0].Hash) != 32 {
		t.Errorf("%+v, %v", hashes, err)
	}
}

func TestSimulate(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleViewer)
	if _, _, err := w.admin.PutRoutingGateway(ctx, "idle", client.RoutingSettings{
		Account: "telco", Prefixes: []string{"8613"}, Addrs: []string{"203.0.113.8"}, Disabled: true,
	}); err != nil {
		t.Fatal(err)
	}
	before := w.state.Hash()
	for name, from := range map[string]client.SimulateRequest{
		"account": {Account: "acme"}, "ingress": {Ingress: "acme-in"}, "source": {Source: "192.0.2.10"},
	} {
		from.Caller, from.Callee = "442071234567", "8613800138000"
		s, _, err := c.Simulate(ctx, from)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.Code != "ok" || s.Account != "acme" || s.Ingress != "acme-in" || s.Rate == nil || s.Rate.Prefix != "8613" ||
			s.Available != 100_000_000 || s.Affords == 0 || s.Slice == 0 || s.Currency != "USD" {
			t.Errorf("%s: %+v", name, s)
		}
		if len(s.Candidates) != 1 || s.Candidates[0].Gateway != "telco-out" || s.Candidates[0].Addrs[0] != "203.0.113.9:5060" {
			t.Errorf("%s: candidates %+v", name, s.Candidates)
		}
		if diff := cmp.Diff([]client.Skipped{{Gateway: "idle", Reason: "disabled"}}, s.Skipped); diff != "" {
			t.Errorf("%s: skipped (-want +got):\n%s", name, diff)
		}
	}
	if w.state.Hash() != before {
		t.Error("a simulation changed the state")
	}
	s, _, err := c.Simulate(ctx, client.SimulateRequest{Account: "acme", Callee: "1555"})
	if err != nil || s.Code != "no-rate" || s.SIPStatus != 503 || s.Detail == "" {
		t.Errorf("%+v, %v", s, err)
	}
	s, _, err = c.Simulate(ctx, client.SimulateRequest{Source: "198.51.100.1", Callee: "44"})
	if err != nil || s.Code != "unknown-source" {
		t.Errorf("%+v, %v", s, err)
	}
	_, _, err = c.Simulate(ctx, client.SimulateRequest{Account: "ghost", Callee: "44"})
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	_, _, err = c.Simulate(ctx, client.SimulateRequest{Account: "telco", Callee: "44"})
	wants(t, err, http.StatusConflict, client.CodeConflict)
	_, _, err = c.Simulate(ctx, client.SimulateRequest{Callee: "44"})
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
}
