package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

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

// ledgerSums looks at every account at one index.
func (s *server) ledgerSums(ctx context.Context, _ *Reading) (*page[client.LedgerSum], error) {
	var sums []fsm.Sum
	var index uint64
	s.cfg.State.View(func(st *fsm.State) { sums, index = st.Sums(), st.Index() })
	items := make([]client.LedgerSum, 0, len(sums))
	for _, sum := range sums {
		items = append(items, client.LedgerSum{
			Currency: sum.Currency, Clients: sum.Clients, Vendors: sum.Vendors, House: sum.House, Held: sum.Held, Sum: sum.Total,
		})
	}
	return listed(ctx, items, "", index), nil
}
