package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/api/client"
)

// Every operation of the document, asked with every role: exactly the roles that
// the document names pass, and the administrator.
func TestRoleMatrix(t *testing.T) {
	w := newWorld(t)
	_, text := w.request(http.MethodGet, "/api/v1/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{id}", "ghost", "{number}", "1", "{seq}", "1")
	roles := []string{client.RoleViewer, client.RoleOperator, client.RoleBilling, client.RoleRouting, client.RoleAdmin}
	asked := 0
	for path, operations := range doc.Paths {
		for method, op := range operations {
			allowed := op.Security[0]["token"]
			method, path := strings.ToUpper(method), "/api/v1"+fill.Replace(path)
			if res, _ := w.request(method, path, "", ""); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %s", method, path, res.Status)
			}
			for _, role := range roles {
				asked++
				res, body := w.request(method, path, w.token(role), "")
				want := len(allowed) == 0 || role == client.RoleAdmin || slices.Contains(allowed, role)
				if got := res.StatusCode != http.StatusForbidden; got != want {
					t.Errorf("%s %s as %s: %s, want allowed = %v", method, path, role, res.Status, want)
				}
				if !want && !strings.Contains(body, "needs "+strings.Join(allowed, " or ")) {
					t.Errorf("%s %s as %s: the refusal does not say what is missing: %s", method, path, role, body)
				}
				if res.StatusCode >= http.StatusInternalServerError {
					t.Errorf("%s %s as %s: %s %s", method, path, role, res.Status, body)
				}
			}
		}
	}
	if asked < 5*40 {
		t.Errorf("only %d questions asked", asked)
	}
}

func TestWrongTokens(t *testing.T) {
	w := newWorld(t)
	good := w.token(client.RoleViewer)
	gone := client.NewCredential()
	old := client.NewCredential()
	w.must(&fsm.PutToken{Token: fsm.Token{
		ID: old.ID, Name: "old", Role: client.RoleAdmin, Hash: old.Hash(), Expires: epoch.Add(time.Minute),
	}})
	w.wait(2 * time.Minute)
	flipped := []byte(good)
	flipped[len(flipped)-1] ^= 1
	tests := []struct{ name, token, want string }{
		{"none", "", "no token"},
		{"not ours", "ghp_abc", "not an API token"},
		{"unknown id", gone.String(), "not known"},
		{"wrong secret", string(flipped), "not known"},
		{"expired", old.String(), "expired at 2026-11-21T10:01:00.000Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := w.request(http.MethodGet, "/api/v1/status", tt.token, "")
			if res.StatusCode != http.StatusUnauthorized || !strings.Contains(body, tt.want) {
				t.Errorf("%s %s", res.Status, body)
			}
			if res.Header.Get("WWW-Authenticate") == "" || res.Header.Get("Content-Type") != problemType {
				t.Errorf("headers %v", res.Header)
			}
			for _, secret := range []string{gone.Secret, old.Secret, string(flipped)} {
				if strings.Contains(body, secret) {
					t.Error("the answer repeats a secret")
				}
			}
		})
	}
}

// A token's secret is shown when it is made, and never again: not by the API,
// not in the log.
func TestTokenLife(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	made, receipt, err := w.admin.CreateToken(ctx, client.TokenSettings{Name: "shop", Role: client.RoleBilling, Expires: client.Seconds(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if made.Secret == "" || receipt.Index == 0 || made.Expires.Sub(made.Created.Time).Round(time.Second) != time.Hour {
		t.Errorf("made %+v at %+v", made, receipt)
	}
	shop, err := client.New(client.Config{Addrs: []string{w.url}, Token: made.Secret})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = shop.Status(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = shop.Tokens(ctx, client.TokenQuery{})
	p := wants(t, err, http.StatusForbidden, client.CodeForbidden)
	if !strings.Contains(p.Detail, "has the role billing; GET /api/v1/tokens needs admin") || p.Hint == "" {
		t.Errorf("refusal %q, hint %q", p.Detail, p.Hint)
	}
	list, err := w.admin.Tokens(ctx, client.TokenQuery{})
	if err != nil || len(list.Items) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, one := range list.Items {
		if one.Secret != "" {
			t.Error("the list shows a secret")
		}
	}
	_, err = w.admin.RevokeToken(ctx, w.tokens[client.RoleAdmin].ID)
	wants(t, err, http.StatusConflict, client.CodeConflict)
	if _, err = w.admin.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = shop.Status(ctx)
	wants(t, err, http.StatusUnauthorized, client.CodeUnauthorized)
	_, err = w.admin.RevokeToken(ctx, made.ID)
	wants(t, err, http.StatusNotFound, client.CodeNotFound)

	secret, err := client.ParseCredential(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if logged := w.logs.String(); strings.Contains(logged, secret.Secret) || !strings.Contains(logged, "PutToken") {
		t.Error("the log has the secret, or not the change")
	}
}

func TestConsistency(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	token := w.token(client.RoleAdmin)
	before := w.asked
	if _, err := w.admin.Accounts(ctx, client.AccountQuery{}); err != nil {
		t.Fatal(err)
	}
	if w.asked != before+1 {
		t.Errorf("a read asked the leader %d times", w.asked-before)
	}
	if _, _, err := w.admin.Status(ctx); err != nil {
		t.Fatal(err)
	}
	if w.asked != before+1 {
		t.Error("the status is this node's own view and asks nobody")
	}

	w.breakWith(cluster.ErrNoLeader)
	_, err := w.admin.Accounts(ctx, client.AccountQuery{})
	p := wants(t, err, http.StatusServiceUnavailable, client.CodeNoLeader)
	if want := "no leader (1 of 3 nodes unreachable: n3)"; p.Detail != want {
		t.Errorf("detail %q, want %q", p.Detail, want)
	}
	if want := "writes resume when 2 nodes see each other"; !strings.Contains(p.Hint, want) || p.RetryAfter == 0 {
		t.Errorf("hint %q, retry after %s", p.Hint, p.RetryAfter)
	}
	stale, err := client.New(client.Config{Addrs: []string{w.url}, Token: token, Stale: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stale.Accounts(ctx, client.AccountQuery{}); err != nil {
		t.Errorf("a stale read without a leader: %v", err)
	}
	status, _, err := w.admin.Status(ctx)
	if err != nil || status.Health != client.NoQuorum || status.Ready {
		t.Errorf("status %+v, %v", status, err)
	}
	if res, body := w.request(http.MethodGet, "/readyz", "", ""); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a leader: %s %s", res.Status, body)
	}
}

func TestBusyAndTimeout(t *testing.T) {
	w := newWorld(t)
	for err, code := range map[error]string{cluster.ErrBusy: client.CodeBusy, cluster.ErrTimeout: client.CodeTimeout} {
		w.breakWith(err)
		_, _, err := w.admin.SetParameter(t.Context(), "RING_TIME", "30")
		p := wants(t, err, http.StatusServiceUnavailable, code)
		if p.Hint == "" || p.RetryAfter == 0 {
			t.Errorf("%s: %+v", code, p)
		}
	}
}

func TestRateLimit(t *testing.T) {
	l := newLimits()
	now := time.Now()
	for range maxBurst {
		if !l.allow("a", now) {
			t.Fatal("refused below the limit")
		}
	}
	if l.allow("a", now) {
		t.Error("allowed above the limit")
	}
	if !l.allow("b", now) || !l.allow("a", now.Add(time.Second)) {
		t.Error("another token, or a second later, has its own share")
	}
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/healthz", 200},
		{http.MethodGet, "/readyz", 200},
		{http.MethodGet, "/metrics", 404}, // none configured
		{http.MethodGet, "/api/v1/nothing", 404},
		{http.MethodGet, "/docs", 404},
		{http.MethodPost, "/api/v1/status", 405},
		{http.MethodDelete, "/api/v1/accounts", 405},
	}
	for _, tt := range tests {
		res, body := w.request(tt.method, tt.path, "", "")
		if res.StatusCode != tt.status {
			t.Errorf("%s %s: %s %s", tt.method, tt.path, res.Status, body)
		}
		if tt.status >= 400 && (res.Header.Get("Content-Type") != problemType || !strings.Contains(body, `"node":"n1"`)) {
			t.Errorf("%s %s: no problem: %s", tt.method, tt.path, body)
		}
		if tt.status == 405 && res.Header.Get("Allow") != http.MethodGet {
			t.Errorf("%s %s: Allow %q", tt.method, tt.path, res.Header.Get("Allow"))
		}
	}
}

// A node that has not caught up does not know every token: it must not say that
// one is wrong.
func TestUnknownTokenWhileStarting(t *testing.T) {
	w := newWorld(t)
	known, unknown := w.token(client.RoleViewer), client.NewCredential().String()
	w.status.Leader = ""
	if res, body := w.request(http.MethodGet, "/api/v1/status", unknown, ""); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("unknown token: %s %s", res.Status, body)
	}
	if res, body := w.request(http.MethodGet, "/api/v1/status", known, ""); res.StatusCode != http.StatusOK {
		t.Errorf("known token: %s %s", res.Status, body)
	}
}
