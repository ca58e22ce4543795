package client

import (
	"context"

	"tandem/billing"
)

// The account types.
const (
	AccountClient = "client" // pays us
	AccountVendor = "vendor" // we pay
)

// AccountSettings is what an operator decides about an account. A PUT replaces
// all of it.
type AccountSettings struct {
	Name        string         `json:"name,omitempty" maxLength:"64"`
	Type        string         `json:"type" enum:"client,vendor" doc:"client: pays us; vendor: is paid, the clearing account of routing gateways"`
	Currency    string         `json:"currency" pattern:"^[A-Z]{3}$" doc:"ISO 4217" example:"USD"`
	Credit      billing.Amount `json:"credit,omitzero" doc:"How far the balance may go below zero" example:"500.00"`
	AllowDebt   bool           `json:"allow_debt,omitempty" doc:"Turns anti-overdraft off"`
	RateTable   string         `json:"rate_table,omitempty" doc:"What calls cost; of a vendor: what we pay"`
	Expiry      Time           `json:"expiry,omitzero"`
	Locked      bool           `json:"locked,omitempty" doc:"All calls are refused"`
	AccessIPs   []string       `json:"access_ips,omitempty" nullable:"false" doc:"Networks that calls may come from, when SS_ACCESS_IP_CHECK is 1"`
	Advance     Seconds        `json:"advance,omitzero" doc:"Talk time that a call has to be able to pay for before it starts"`
	MaxSpend    billing.Amount `json:"max_spend,omitzero" doc:"Most that may be spent in a day"`
	MaxCalls    uint32         `json:"max_calls,omitempty" doc:"Most calls at once; 0: no limit"`
	MaxCPS      uint32         `json:"max_cps,omitempty" doc:"Most new calls in a second, over the whole cluster; 0: no limit"`
	MaxDuration Seconds        `json:"max_duration,omitzero" doc:"Longest call; 0: that of the system"`
	AllowCallee []string       `json:"allow_callee,omitempty" nullable:"false" doc:"Prefixes that may be called; none: all"`
	BlockCallee []string       `json:"block_callee,omitempty" nullable:"false" doc:"Prefixes that may not be called"`
	LowBalance  billing.Amount `json:"low_balance,omitzero" doc:"Balance below which the account is reported"`
}

// Account is a customer's or vendor's account.
type Account struct {
	ID string `json:"id"`
	AccountSettings
	Balance    billing.Amount `json:"balance" doc:"What the account has; negative is what it owes"`
	Held       billing.Amount `json:"held" doc:"What live calls have set aside"`
	Available  billing.Amount `json:"available" doc:"Balance and credit, less what is held"`
	Spent      billing.Amount `json:"spent" doc:"Of the day of the last call"`
	Live       uint32         `json:"live" doc:"Calls at this moment"`
	CallsTotal uint64         `json:"calls_total"`
	Created    Time           `json:"created,omitzero"`
}

// AccountQuery selects accounts.
type AccountQuery struct{ Page }

// At returns the query at another cursor.
func (q AccountQuery) At(cursor string) AccountQuery {
	q.Cursor = cursor
	return q
}

// Payment is money for or from an account.
type Payment struct {
	Amount   billing.Amount `json:"amount" doc:"Negative amounts deduct" example:"100.00"`
	Currency string         `json:"currency,omitempty" doc:"When given, it has to be the account's"`
	Memo     string         `json:"memo,omitempty" maxLength:"256"`
}

// Posted is the answer to a payment: the first one, however often it is asked.
type Posted struct {
	Account  string         `json:"account"`
	Kind     string         `json:"kind" enum:"payment,adjustment"`
	Amount   billing.Amount `json:"amount"`
	Currency string         `json:"currency"`
	Memo     string         `json:"memo,omitempty"`
	Index    uint64         `json:"index" doc:"Log index at which the money moved"`
	At       Time           `json:"at"`
}

// Done is the answer to a deletion, and to other mutations without a result.
type Done struct {
	Index uint64 `json:"index" doc:"Log index at which it took effect"`
	At    Time   `json:"at"`
	Count uint64 `json:"count,omitempty" doc:"How many were affected, when that is not one"`
}

// Transfer is one line of the ledger.
type Transfer struct {
	Seq      uint64         `json:"seq" doc:"Dense over the cluster"`
	At       Time           `json:"at"`
	Index    uint64         `json:"index"`
	Kind     string         `json:"kind" enum:"payment,adjustment,charge,cost,loss,amendment,use,package,lapse"`
	Debit    string         `json:"debit" doc:"Ledger account that pays" example:"client:acme"`
	Credit   string         `json:"credit" doc:"Ledger account that receives" example:"house:revenue"`
	Amount   billing.Amount `json:"amount"`
	Currency string         `json:"currency" doc:"Of money; sec:ID: seconds of a package, 1.00 is a second"`
	Call     string         `json:"call,omitempty"`
	CDR      uint64         `json:"cdr,omitempty"`
	Memo     string         `json:"memo,omitempty"`
	Actor    string         `json:"actor,omitempty" doc:"Token that asked for it"`
}

// LedgerQuery selects the transfers of an account, newest first.
type LedgerQuery struct {
	Page
	Account string // id of an account
}

// At returns the query at another cursor.
func (q LedgerQuery) At(cursor string) LedgerQuery {
	q.Cursor = cursor
	return q
}

// Accounts returns a page of accounts in order of their ids.
func (c *Client) Accounts(ctx context.Context, q AccountQuery) (List[Account], error) {
	return fetch[Account](ctx, c, "/accounts", q.values())
}

// Account returns one account.
func (c *Client) Account(ctx context.Context, id string) (a Account, r Receipt, err error) {
	r, err = c.get(ctx, path("accounts", id), nil, &a)
	return a, r, err
}

// PutAccount creates an account, or replaces the settings of one.
func (c *Client) PutAccount(ctx context.Context, id string, s AccountSettings) (a Account, r Receipt, err error) {
	r, err = c.put(ctx, path("accounts", id), s, &a)
	return a, r, err
}

// DeleteAccount removes an account that has no money and no calls.
func (c *Client) DeleteAccount(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("accounts", id), nil, &d)
	return d, err
}

// TopUp pays money into an account. The same key never pays twice; an empty one
// is replaced by a fresh one.
func (c *Client) TopUp(ctx context.Context, id string, p Payment, key string) (Posted, error) {
	return c.pay(ctx, path("accounts", id, "topups"), p, key)
}

// Adjust corrects an account's balance. Key is as in TopUp.
func (c *Client) Adjust(ctx context.Context, id string, p Payment, key string) (Posted, error) {
	return c.pay(ctx, path("accounts", id, "adjustments"), p, key)
}

func (c *Client) pay(ctx context.Context, path string, p Payment, key string) (out Posted, err error) {
	if key == "" {
		key = NewKey()
	}
	_, err = c.post(ctx, path, key, p, &out)
	return out, err
}

// LockAccount makes all calls of an account be refused, or lifts that.
func (c *Client) LockAccount(ctx context.Context, id string, locked bool) (a Account, r Receipt, err error) {
	verb := "unlock"
	if locked {
		verb = "lock"
	}
	r, err = c.post(ctx, path("accounts", id, verb), "", nil, &a)
	return a, r, err
}

// Ledger returns a page of an account's transfers, newest first.
func (c *Client) Ledger(ctx context.Context, q LedgerQuery) (List[Transfer], error) {
	return fetch[Transfer](ctx, c, path("accounts", q.Account, "ledger"), q.values())
}
