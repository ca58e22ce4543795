package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/api/client"
)

func TestAccountLife(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.admin
	settings := client.AccountSettings{
		Name: "Acme", Type: client.AccountClient, Currency: "USD", Credit: 5_000_000,
		Expiry:    client.Time{Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		AccessIPs: []string{"192.0.2.0/24", "2001:db8::1"}, Advance: client.Seconds(90 * time.Second), MaxCalls: 7, MaxCPS: 3,
		MaxSpend: 12_500_000, AllowCallee: []string{"44", "86"}, BlockCallee: []string{"449"}, LowBalance: 1_000_000,
		MaxDuration: client.Seconds(time.Hour),
	}
	a, receipt, err := c.PutAccount(ctx, "acme", settings)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(settings, a.AccountSettings); diff != "" {
		t.Errorf("settings (-sent +answered):\n%s", diff)
	}
	if a.ID != "acme" || a.Available != 5_000_000 || receipt.Index != w.index || receipt.Node != "n1" {
		t.Errorf("account %+v, receipt %+v, index %d", a, receipt, w.index)
	}
	got, _, err := c.Account(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Errorf("(-put +get):\n%s", diff)
	}
	for _, locked := range []bool{true, true, false} {
		a, _, err = w.as(client.RoleOperator).LockAccount(ctx, "acme", locked)
		if err != nil || a.Locked != locked || a.MaxCalls != 7 {
			t.Errorf("lock %v: %+v, %v", locked, a, err)
		}
	}
	if _, err = c.TopUp(ctx, "acme", client.Payment{Amount: 1}, ""); err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteAccount(ctx, "acme")
	p := wants(t, err, http.StatusConflict, client.CodeConflict)
	if !strings.Contains(p.Detail, "0.000001") || p.Index == 0 {
		t.Errorf("problem %+v", p)
	}
	if _, err = c.Adjust(ctx, "acme", client.Payment{Amount: -1, Memo: "closing"}, ""); err != nil {
		t.Fatal(err)
	}
	if d, err := c.DeleteAccount(ctx, "acme"); err != nil || d.Index != w.index {
		t.Errorf("%+v, %v", d, err)
	}
	_, _, err = c.Account(ctx, "acme")
	if p := wants(t, err, http.StatusNotFound, client.CodeNotFound); p.Detail != `account "acme" is not there` {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestBadAccounts(t *testing.T) {
	w := newWorld(t)
	tests := []struct{ name, path, body, location, message string }{
		{"unknown field", "acme", `{"type":"client","currency":"USD","curency":"USD"}`, "body.curency", "unexpected property"},
		{"missing field", "acme", `{"type":"client"}`, "body", "expected required property currency"},
		{"money as a number", "acme", `{"type":"client","currency":"USD","credit":5}`, "body.credit", "expected string"},
		{"decimal comma", "acme", `{"type":"client","currency":"USD","credit":"5,00"}`, "body", `5,00`},
		{"wrong choice", "acme", `{"type":"house","currency":"USD"}`, "body.type", "client, vendor"},
		{"wrong network", "acme", `{"type":"client","currency":"USD","access_ips":["192.0.2.0/24","x"]}`, "body.access_ips[1]", "not an address"},
		{"wrong name", "a%20b", `{"type":"client","currency":"USD"}`, "body.id", "letters, digits"},
		{"unknown table", "acme", `{"type":"client","currency":"USD","rate_table":"gold"}`, "body.rate_table", "not there"},
		{"too long", "acme", `{"type":"client","currency":"USD","allow_callee":["` + strings.Repeat("1", 70) + `"]}`, "", "too long"},
		{"no json", "acme", `{"type":`, "body", "unexpected end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := w.request(http.MethodPut, "/api/v1/accounts/"+tt.path, w.token(client.RoleAdmin), tt.body)
			if res.StatusCode != http.StatusUnprocessableEntity && res.StatusCode != http.StatusBadRequest {
				t.Errorf("status %s", res.Status)
			}
			if !strings.Contains(body, tt.message) || tt.location != "" && !strings.Contains(body, `"location":"`+tt.location+`"`) {
				t.Errorf("%s\nwants %s at %s", body, tt.message, tt.location)
			}
			if !strings.Contains(body, `"code":"invalid"`) {
				t.Errorf("no problem of ours: %s", body)
			}
		})
	}
	if n := w.state.Counts().Accounts; n != 0 {
		t.Errorf("%d accounts were made", n)
	}
}

// A payment that is asked for again with its key is not paid again and gets the
// first answer, whatever happened since; another one with that key is refused.
func TestPaymentIsPaidOnce(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx := t.Context()
	shop := w.as(client.RoleBilling)
	pay := client.Payment{Amount: 10_000_000, Currency: "USD", Memo: "invoice 7"}
	first, err := shop.TopUp(ctx, "acme", pay, "inv-7")
	if err != nil {
		t.Fatal(err)
	}
	want := client.Posted{
		Account: "acme", Kind: "payment", Amount: 10_000_000, Currency: "USD", Memo: "invoice 7", Index: w.index, At: timeOf(w.at),
	}
	want.At.Time = want.At.Truncate(time.Millisecond)
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.wait(time.Hour)
	again, err := shop.TopUp(ctx, "acme", pay, "inv-7")
	if err != nil || again != first {
		t.Errorf("again %+v, %v, want %+v", again, err, first)
	}
	pay.Amount++
	_, err = shop.TopUp(ctx, "acme", pay, "inv-7")
	wants(t, err, http.StatusUnprocessableEntity, client.CodeKeyReused)
	// Keys belong to a token: another one's are its own.
	if _, err = w.admin.TopUp(ctx, "acme", pay, "inv-7"); err != nil {
		t.Error(err)
	}
	if a, _ := w.state.Account("acme"); a.Balance.Funds != 120_000_001 {
		t.Errorf("balance %s", a.Balance.Funds)
	}
	_, err = shop.TopUp(ctx, "acme", client.Payment{Amount: 1, Currency: "EUR"}, "")
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, err = shop.TopUp(ctx, "acme", client.Payment{}, "")
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, err = shop.TopUp(ctx, "ghost", client.Payment{Amount: 1}, "")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	res, body := w.request(http.MethodPost, "/api/v1/accounts/acme/topups", w.token(client.RoleAdmin), `{"amount":"1.00"}`)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, client.CodeKeyMissing) {
		t.Errorf("without a key: %s %s", res.Status, body)
	}
}

func TestLedger(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx := t.Context()
	for i := range 5 {
		if _, err := w.admin.TopUp(ctx, "acme", client.Payment{Amount: billing.Amount(i + 1)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	var amounts []billing.Amount
	for tr, err := range client.Each(ctx, client.LedgerQuery{Account: "acme", Page: client.Page{Limit: 2}}, w.admin.Ledger) {
		if err != nil {
			t.Fatal(err)
		}
		if tr.Debit != "house:cash" || tr.Credit != "client:acme" || tr.Kind != "payment" || tr.Actor != "admin" {
			t.Errorf("%+v", tr)
		}
		amounts = append(amounts, tr.Amount)
	}
	if diff := cmp.Diff([]billing.Amount{5, 4, 3, 2, 1, 100_000_000}, amounts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sums, err := w.admin.LedgerSums(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []client.LedgerSum{{Currency: "USD", Clients: 100_000_015, House: -100_000_015}}
	if diff := cmp.Diff(want, sums.Items); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = w.admin.Ledger(ctx, client.LedgerQuery{Account: "ghost"})
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	var want []string
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		w.must(&fsm.PutAccount{Account: fsm.Account{ID: id, Type: fsm.Client, Currency: "USD"}})
		want = append(want, id)
	}
	var got []string
	for a, err := range client.Each(ctx, client.AccountQuery{Page: client.Page{Limit: 2}}, w.admin.Accounts) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	token := w.token(client.RoleAdmin)
	res, body := w.request(http.MethodGet, "/api/v1/accounts?limit=3", token, "")
	link := res.Header.Get("Link")
	next, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	if !ok {
		t.Fatalf("Link %q, body %s", link, body)
	}
	if _, body = w.request(http.MethodGet, next, token, ""); !strings.Contains(body, `"id":"d"`) || strings.Contains(body, `"id":"c"`) {
		t.Errorf("the linked page is %s", body)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "cursor=!", "sort=id", "consistency=eventual"} {
		if res, body := w.request(http.MethodGet, "/api/v1/accounts?"+query, token, ""); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s %s", query, res.Status, body)
		}
	}
}
