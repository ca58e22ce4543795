package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/api/client"
)

// Named is an object's name in a path.
type Named struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

func (s *server) addAccounts(api huma.API) {
	read := func(method, path, id, summary string) huma.Operation {
		return tagged("accounts", operation(api, method, path, id, summary))
	}
	write := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("accounts", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, read(http.MethodGet, "/accounts", "list-accounts", "List accounts"), s.accounts)
	huma.Register(api, read(http.MethodGet, "/accounts/{id}", "get-account", "Show an account"), s.account)
	huma.Register(api, write(http.MethodPut, "/accounts/{id}", "put-account",
		"Create an account, or replace its settings", client.RoleBilling), s.putAccount)
	huma.Register(api, write(http.MethodDelete, "/accounts/{id}", "delete-account",
		"Delete an account without money and calls", client.RoleBilling), s.deleteAccount)
	huma.Register(api, write(http.MethodPost, "/accounts/{id}/lock", "lock-account",
		"Refuse all calls of an account", client.RoleOperator, client.RoleBilling), s.lock(true))
	huma.Register(api, write(http.MethodPost, "/accounts/{id}/unlock", "unlock-account",
		"Lift a lock", client.RoleOperator, client.RoleBilling), s.lock(false))
	huma.Register(api, once(write(http.MethodPost, "/accounts/{id}/topups", "top-up",
		"Pay money into an account", client.RoleBilling)), s.pay(false))
	huma.Register(api, once(write(http.MethodPost, "/accounts/{id}/adjustments", "adjust",
		"Correct an account's balance", client.RoleBilling)), s.pay(true))
}

// once says of an operation that it must not happen twice by a retry.
func once(op huma.Operation) huma.Operation {
	op.Description += "Needs an Idempotency-Key: a retry with the same key gets the first answer, another request with it is refused."
	return op
}

func tagged(tag string, op huma.Operation) huma.Operation {
	op.Tags = []string{tag}
	return op
}

func (s *server) accounts(ctx context.Context, in *Paging) (*page[client.Account], error) {
	return pageOf(ctx, s, in, (*fsm.State).Accounts, func(a *fsm.Account) string { return a.ID }, nil, showAccount)
}

type getNamed struct {
	Named
	Reading
}

func accountKind() kind[fsm.Account, client.Account] {
	return kind[fsm.Account, client.Account]{"account", "tandem account list", (*fsm.State).Account, showAccount}
}

func (s *server) account(_ context.Context, in *getNamed) (*object[client.Account], error) {
	return find(s, accountKind(), in.ID)
}

type putAccount struct {
	Named
	Keyed
	Body client.AccountSettings
}

func (s *server) putAccount(ctx context.Context, in *putAccount) (*object[client.Account], error) {
	a, err := readAccount(in.ID, &in.Body)
	if err != nil {
		return nil, err
	}
	return s.storeAccount(ctx, in.Key, a)
}

func (s *server) storeAccount(ctx context.Context, key string, a fsm.Account) (*object[client.Account], error) {
	return store(ctx, s, accountKind(), key, a.ID, &fsm.PutAccount{Account: a})
}

type deleteNamed struct {
	Named
	Keyed
}

func (s *server) deleteAccount(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DeleteAccount{ID: in.ID})
}

// lock changes one setting of an account and sends the others as they are.
func (s *server) lock(locked bool) func(context.Context, *deleteNamed) (*object[client.Account], error) {
	return func(ctx context.Context, in *deleteNamed) (*object[client.Account], error) {
		var a fsm.Account
		var found bool
		s.cfg.State.View(func(st *fsm.State) { a, found = st.Account(in.ID) })
		if !found {
			return nil, notThere("account %q", in.ID).hint("tandem account list")
		}
		if a.Locked == locked {
			return find(s, accountKind(), in.ID)
		}
		a.Locked = locked
		return s.storeAccount(ctx, in.Key, a)
	}
}

type payment struct {
	Named
	Keyed
	Body client.Payment
}

// pay moves money between the house's cash and an account. The answer is made
// of the request and the state machine's first result alone, so that a retry
// gets the same one.
func (s *server) pay(adjust bool) func(context.Context, *payment) (*object[client.Posted], error) {
	kind := fsm.TransferPayment
	if adjust {
		kind = fsm.TransferAdjustment
	}
	return func(ctx context.Context, in *payment) (*object[client.Posted], error) {
		if err := needKey(in.Key); err != nil {
			return nil, err
		}
		currency, err := s.currencyOf(in.ID, in.Body.Currency)
		if err != nil {
			return nil, err
		}
		r, err := s.commit(ctx, in.Key, &fsm.TopUp{
			Account: in.ID, Amount: in.Body.Amount, Adjust: adjust, Memo: in.Body.Memo, Actor: actorOf(asking(ctx).token),
		})
		if err != nil {
			return nil, err
		}
		return &object[client.Posted]{Index: r.Index, Body: client.Posted{
			Account: in.ID, Kind: kind.String(), Amount: in.Body.Amount, Currency: currency, Memo: in.Body.Memo,
			Index: r.Index, At: timeOf(r.At),
		}}, nil
	}
}

// currencyOf returns an account's currency. If the payment names one, it has to
// be that.
func (s *server) currencyOf(account, given string) (string, error) {
	var a fsm.Account
	var found bool
	s.cfg.State.View(func(st *fsm.State) { a, found = st.Account(account) })
	switch {
	case !found:
		return "", notThere("account %q", account).hint("tandem account list")
	case given != "" && given != a.Currency:
		return "", badField("body.currency", given, "account %q is in %s", account, a.Currency)
	}
	return a.Currency, nil
}

// actorOf is how the ledger names who asked.
func actorOf(t fsm.Token) string {
	if t.Name != "" {
		return t.Name
	}
	return t.ID
}

func showAccount(a *fsm.Account) client.Account {
	return client.Account{
		ID: a.ID,
		AccountSettings: client.AccountSettings{
			Name: a.Name, Type: a.Type.String(), Currency: a.Currency, Credit: a.Balance.Credit, AllowDebt: a.AllowDebt,
			RateTable: a.RateTable, Expiry: timeOf(a.Expiry), Locked: a.Locked, AccessIPs: texts(a.AccessIPs),
			Advance: client.Seconds(a.Advance), MaxSpend: a.MaxSpend, MaxCalls: a.MaxCalls, MaxCPS: a.MaxCPS,
			MaxDuration: client.Seconds(a.MaxDuration), AllowCallee: a.AllowCallee, BlockCallee: a.BlockCallee,
			LowBalance: a.LowBalance,
		},
		Balance: a.Balance.Funds, Held: a.Balance.Held, Available: a.Balance.Available(), Spent: a.Spent,
		Live: a.Live, CallsTotal: a.CallsTotal, Created: timeOf(a.Created),
	}
}

func readAccount(id string, in *client.AccountSettings) (fsm.Account, error) {
	var f fields
	a := fsm.Account{
		ID: id, Name: in.Name, Type: fsm.Client, Currency: in.Currency, Balance: billing.Balance{Credit: in.Credit},
		Expiry: logTime(in.Expiry), Locked: in.Locked, AccessIPs: f.networks("body.access_ips", in.AccessIPs),
		RateTable: in.RateTable, AllowDebt: in.AllowDebt, Advance: time.Duration(in.Advance), MaxSpend: in.MaxSpend,
		MaxCalls: in.MaxCalls, MaxCPS: in.MaxCPS, AllowCallee: in.AllowCallee, BlockCallee: in.BlockCallee,
		LowBalance: in.LowBalance, MaxDuration: time.Duration(in.MaxDuration),
	}
	if in.Type == client.AccountVendor {
		a.Type = fsm.Vendor
	}
	return a, f.err()
}

// texts prints networks.
func texts(list []fsm.Prefix) []string {
	out := make([]string, 0, len(list))
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}
