package api

import (
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addLedger(api huma.API) {
	huma.Register(api, tagged("accounts", operation(api, http.MethodGet, "/accounts/{id}/ledger", "account-ledger",
		"List an account's transfers, newest first")), s.ledger)
	huma.Register(api, tagged("accounts", operation(api, http.MethodGet, "/ledger", "ledger-sums",
		"Sum up all accounts, by currency", client.RoleOperator, client.RoleBilling, client.RoleRouting)), s.ledgerSums)
}

type listNamed struct {
	Named
	Paging
}

func (s *server) ledger(ctx context.Context, in *listNamed) (*page[client.Transfer], error) {
	before, err := in.sequence()
	if err != nil {
		return nil, err
	}
	var name string
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		if a, ok := st.Account(in.ID); ok {
			name = a.Type.String() + ":" + a.ID
		}
	})
	if name == "" {
		return nil, notThere("account %q", in.ID).hint("tandem account list")
	}
	rows, next, err := s.cfg.CDRs.Ledger(ctx, name, before, in.Limit)
	if err != nil {
		return nil, s.unavailable(err)
	}
	items := make([]client.Transfer, 0, len(rows))
	for i := range rows {
		items = append(items, showTransfer(&rows[i]))
	}
	return listed(ctx, items, sequenceKey(next), index), nil
}

// sequence reads a cursor that is a sequence number; 0 is the newest.
func (p *Paging) sequence() (uint64, error) {
	text, err := p.after()
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badField("query.cursor", p.Cursor, "is no cursor of this list")
	}
	return n, nil
}

func sequenceKey(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func showTransfer(t *fsm.Transfer) client.Transfer {
	return client.Transfer{
		Seq: t.Seq, At: timeOf(t.At), Index: t.Index, Kind: t.Kind.String(), Debit: t.Debit, Credit: t.Credit,
		Amount: t.Amount, Currency: t.Currency, Call: callID(t.Call), CDR: t.CDR, Memo: t.Memo, Actor: t.Actor,
	}
}

// callID prints a call's id; the zero id is empty.
func callID(id fsm.CallID) string {
	if id == (fsm.CallID{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// maxSummed bounds the accounts that are summed up. Apply waits meanwhile, and a
// tenth of a second is the most that calls may be kept waiting.
const maxSummed = 10_000

// ledgerSums looks at every account at one index.
func (s *server) ledgerSums(ctx context.Context, _ *Reading) (*page[client.LedgerSum], error) {
	var accounts int
	s.cfg.State.View(func(st *fsm.State) { accounts = st.Counts().Accounts })
	if accounts > maxSummed {
		return nil, problem(http.StatusConflict, client.CodeFull, "%d accounts are too many to be summed up while calls run, %d are possible", accounts, maxSummed).
			hint("sum up the pages of /api/v1/accounts, or add up the ledgers")
	}
	sums := map[string]*client.LedgerSum{}
	of := func(currency string) *client.LedgerSum {
		if sums[currency] == nil {
			sums[currency] = &client.LedgerSum{Currency: currency}
		}
		return sums[currency]
	}
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		for _, h := range st.Houses() {
			add(&of(h.Currency).House, h.Amount)
		}
		for after, more := "", true; more; {
			accounts := st.Accounts(after, fsm.MaxPage)
			for i := range accounts {
				sumAccount(of(accounts[i].Currency), &accounts[i])
				after = accounts[i].ID
			}
			more = len(accounts) == fsm.MaxPage
		}
	})
	items := make([]client.LedgerSum, 0, len(sums))
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		sum := sums[currency]
		add(&sum.Sum, sum.Clients)
		add(&sum.Sum, sum.Vendors)
		add(&sum.Sum, sum.House)
		items = append(items, *sum)
	}
	return listed(ctx, items, "", index), nil
}

func sumAccount(sum *client.LedgerSum, a *fsm.Account) {
	if a.Type == fsm.Vendor {
		add(&sum.Vendors, a.Balance.Funds)
	} else {
		add(&sum.Clients, a.Balance.Funds)
	}
	add(&sum.Held, a.Balance.Held)
}

// add adds to a sum, which stays where it is at the end of the range.
func add(sum *billing.Amount, a billing.Amount) {
	if n, ok := sum.Add(a); ok {
		*sum = n
	}
}
