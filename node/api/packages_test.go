package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/node/api/client"
)

func TestPackageLife(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleBilling)
	settings := client.PackageSettings{
		Name: "100 minutes", Currency: "USD", Price: 9_900_000, Time: client.Seconds(100 * time.Minute),
		Prefixes: []string{"44", "86"}, Validity: client.Seconds(30 * 24 * time.Hour), Priority: -2,
	}
	p, receipt, err := c.PutPackage(ctx, "p100", settings)
	if err != nil || receipt.Index != w.index {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if diff := cmp.Diff(client.Package{ID: "p100", PackageSettings: settings, Created: p.Created}, p); diff != "" || p.Created.IsZero() {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list, err := c.Packages(ctx, client.PackageQuery{})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != "p100" {
		t.Errorf("%+v, %v", list, err)
	}
	settings.Time = client.Seconds(1500 * time.Millisecond)
	_, _, err = c.PutPackage(ctx, "odd", settings)
	wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	_, _, err = w.as(client.RoleRouting).PutPackage(ctx, "p100", settings)
	wants(t, err, http.StatusForbidden, client.CodeForbidden)
	if _, err := c.DeletePackage(ctx, "p100"); err != nil {
		t.Error(err)
	}
	_, _, err = c.Package(ctx, "p100")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

// A package that is bought again with its key is not bought again, and gets the
// first answer.
func TestPackageIsBoughtOnce(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleBilling)
	if _, _, err := c.PutPackage(ctx, "p10", client.PackageSettings{
		Currency: "USD", Price: 4_000_000, Time: client.Seconds(10 * time.Minute), Validity: client.Seconds(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	before, _ := w.state.Account("acme")
	first, err := c.BuyPackage(ctx, "acme", client.Buy{Package: "p10", Memo: "promotion"}, "b-1")
	if err != nil || first.Index != w.index || first.Purchase == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	w.wait(time.Minute)
	again, err := c.BuyPackage(ctx, "acme", client.Buy{Package: "p10", Memo: "promotion"}, "b-1")
	if err != nil || again != first {
		t.Errorf("again %+v, %v, want %+v", again, err, first)
	}
	if a, _ := w.state.Account("acme"); a.Balance.Funds != before.Balance.Funds-4_000_000 {
		t.Errorf("balance %s", a.Balance.Funds)
	}
	bought, err := c.Purchases(ctx, "acme")
	if err != nil || len(bought.Items) != 1 {
		t.Fatalf("%+v, %v", bought, err)
	}
	want := client.Purchase{
		ID: first.Purchase, Package: "p10", Left: client.Seconds(10 * time.Minute),
		BoughtAt: first.At, ValidTill: client.Time{Time: first.At.Add(time.Hour)},
	}
	if diff := cmp.Diff(want, bought.Items[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ledger, err := c.Ledger(ctx, client.LedgerQuery{Account: "acme"})
	if err != nil || len(ledger.Items) < 2 || ledger.Items[0].Currency != "sec:p10" || ledger.Items[1].Kind != "package" {
		t.Errorf("%+v, %v", ledger, err)
	}
	sums, err := w.admin.LedgerSums(ctx)
	if err != nil || len(sums.Items) != 2 || sums.Items[1].Currency != "sec:p10" || sums.Items[1].Sum != 0 || sums.Items[1].Clients != 600_000_000 {
		t.Errorf("%+v, %v", sums, err)
	}
}

func TestPackageIsNotBought(t *testing.T) {
	w := newWorld(t)
	w.business()
	ctx, c := t.Context(), w.as(client.RoleBilling)
	for id, s := range map[string]client.PackageSettings{
		"dear":  {Currency: "USD", Price: 1_000_000_000_000, Time: client.Seconds(time.Hour)},
		"euros": {Currency: "EUR", Time: client.Seconds(time.Hour)},
	} {
		if _, _, err := c.PutPackage(ctx, id, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		account, pack string
		status        int
		says          string
	}{
		{"acme", "dear", http.StatusConflict, "insufficient funds"},
		{"acme", "euros", http.StatusConflict, "costs EUR"},
		{"telco", "dear", http.StatusConflict, "vendor"},
		{"acme", "none", http.StatusNotFound, `"none"`},
		{"ghost", "dear", http.StatusNotFound, `"ghost"`},
	} {
		_, err := c.BuyPackage(ctx, tt.account, client.Buy{Package: tt.pack}, "")
		code := client.CodeConflict
		if tt.status == http.StatusNotFound {
			code = client.CodeNotFound
		}
		if p := wants(t, err, tt.status, code); !strings.Contains(p.Detail, tt.says) {
			t.Errorf("%s buys %s: %q", tt.account, tt.pack, p.Detail)
		}
	}
	_, err := c.Purchases(ctx, "ghost")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	res, body := w.request(http.MethodPost, "/api/v1/accounts/acme/packages", w.token(client.RoleAdmin), `{"package":"dear"}`)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, client.CodeKeyMissing) {
		t.Errorf("without a key: %s %s", res.Status, body)
	}
}
