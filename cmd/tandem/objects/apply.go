package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

// Options say how a document is applied.
type Options struct {
	DryRun bool
	Report func(Step) // called for each object in turn; may be nil
}

// The actions.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
)

// Step is what happened, or in a dry run would happen, to one object.
type Step struct {
	Kind    string            `json:"kind"`
	ID      string            `json:"id"`
	Action  string            `json:"action"`
	Changes []settings.Change `json:"changes,omitempty"`
	Note    string            `json:"note,omitempty"`
	Index   uint64            `json:"index,omitempty"` // 0: nothing was written
}

// Apply brings the cluster to what the document says, object by object, and
// stops at the first that is refused: running it again goes on from there.
func (d *Document) Apply(ctx context.Context, c *client.Client, o Options) error {
	a := applier{ctx, c, o}
	for _, p := range d.Parameters {
		if err := a.parameter(p); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	for _, l := range d.NumberLists {
		if err := a.numberList(l); err != nil {
			return fmt.Errorf("number list %q: %w", l.Name, err)
		}
	}
	for _, t := range d.RateTables {
		if err := a.rateTable(t); err != nil {
			return fmt.Errorf("rate table %q: %w", t.ID, err)
		}
	}
	for _, x := range d.Accounts {
		if err := a.account(x); err != nil {
			return fmt.Errorf("account %q: %w", x.ID, err)
		}
	}
	for _, g := range d.MappingGateways {
		if err := a.mapping(g); err != nil {
			return fmt.Errorf("mapping gateway %q: %w", g.ID, err)
		}
	}
	for _, g := range d.RoutingGateways {
		if err := a.routing(g); err != nil {
			return fmt.Errorf("routing gateway %q: %w", g.ID, err)
		}
	}
	for _, p := range d.Packages {
		if err := a.pack(p); err != nil {
			return fmt.Errorf("package %q: %w", p.ID, err)
		}
	}
	for _, t := range d.TopUps {
		if err := a.topUp(t); err != nil {
			return fmt.Errorf("top-up %q of account %q: %w", t.Key, t.Account, err)
		}
	}
	return nil
}

type applier struct {
	ctx context.Context
	c   *client.Client
	o   Options
}

func (a applier) report(s Step) {
	if a.o.Report != nil {
		a.o.Report(s)
	}
}

// absent turns a 404 into "not there".
func absent(err error) (bool, error) {
	var p *client.Problem
	if errors.As(err, &p) && p.Code == client.CodeNotFound {
		return true, nil
	}
	return false, err
}

// put writes one object if it is not yet as wanted. get fills in what is there.
func (a applier) put(kind, id string, have, want any, missing bool, write func() (client.Receipt, error)) error {
	s := Step{Kind: kind, ID: id, Action: Created}
	if !missing {
		s.Action, s.Changes = Unchanged, differences(have, want)
		if len(s.Changes) > 0 {
			s.Action = Changed
		}
	}
	if s.Action != Unchanged && !a.o.DryRun {
		r, err := write()
		if err != nil {
			return err
		}
		s.Index = r.Index
	}
	a.report(s)
	return nil
}

// differences is [settings.Diff] without what only looks different: a choice
// that was left open and is at its default, a list in another order or with
// lengths and ports that go without saying.
func differences(have, want any) []settings.Change {
	return slices.DeleteFunc(settings.Diff(have, want), func(c settings.Change) bool {
		return c.New == "" && c.Default == c.Old || canonical(c.Old) == canonical(c.New)
	})
}

func canonical(list string) string {
	parts := strings.Split(list, ",")
	for i, p := range parts {
		p = strings.TrimSuffix(strings.TrimSuffix(p, "/32"), "/128")
		parts[i] = strings.TrimSuffix(p, ":5060")
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func (a applier) parameter(p Parameter) error {
	old, _, err := a.c.Parameter(a.ctx, p.Name)
	if err != nil {
		return err
	}
	s := Step{Kind: "parameter", ID: p.Name, Action: Unchanged}
	if old.Value != p.Value {
		s.Action, s.Changes = Changed, []settings.Change{{Name: "value", Old: old.Value, New: p.Value}}
		if !a.o.DryRun {
			_, r, err := a.c.SetParameter(a.ctx, p.Name, p.Value)
			if err != nil {
				return err
			}
			s.Index = r.Index
		}
	}
	a.report(s)
	return nil
}

func (a applier) numberList(l NumberList) error {
	old, _, err := a.c.NumberList(a.ctx, l.Name)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	return a.put("number list", l.Name, old.NumberListSettings, l.NumberListSettings, missing, func() (client.Receipt, error) {
		_, r, err := a.c.PutNumberList(a.ctx, l.Name, l.NumberListSettings)
		return r, err
	})
}

func (a applier) pack(p Package) error {
	old, _, err := a.c.Package(a.ctx, p.ID)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	return a.put("package", p.ID, old.PackageSettings, p.PackageSettings, missing, func() (client.Receipt, error) {
		_, r, err := a.c.PutPackage(a.ctx, p.ID, p.PackageSettings)
		return r, err
	})
}

func (a applier) account(x Account) error {
	old, _, err := a.c.Account(a.ctx, x.ID)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	return a.put("account", x.ID, old.AccountSettings, x.AccountSettings, missing, func() (client.Receipt, error) {
		_, r, err := a.c.PutAccount(a.ctx, x.ID, x.AccountSettings)
		return r, err
	})
}

func (a applier) mapping(g MappingGateway) error {
	old, _, err := a.c.MappingGateway(a.ctx, g.ID)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	return a.put("mapping gateway", g.ID, old.MappingSettings, g.MappingSettings, missing, func() (client.Receipt, error) {
		_, r, err := a.c.PutMappingGateway(a.ctx, g.ID, g.MappingSettings)
		return r, err
	})
}

func (a applier) routing(g RoutingGateway) error {
	old, _, err := a.c.RoutingGateway(a.ctx, g.ID)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	return a.put("routing gateway", g.ID, old.RoutingSettings, g.RoutingSettings, missing, func() (client.Receipt, error) {
		_, r, err := a.c.PutRoutingGateway(a.ctx, g.ID, g.RoutingSettings)
		return r, err
	})
}

// topUp pays once. The cluster forgets idempotency keys after a day, the ledger
// does not forget memos: so the memo carries the key, and a payment that the
// ledger shows is not made again.
func (a applier) topUp(t TopUp) error {
	memo := "key " + t.Key
	if t.Memo != "" {
		memo = t.Memo + " (" + memo + ")"
	}
	s := Step{Kind: "top-up", ID: t.Account + "/" + t.Key, Action: Unchanged}
	for transfer, err := range client.Each(a.ctx, client.LedgerQuery{Page: client.Page{Limit: ledgerPage}, Account: t.Account}, a.c.Ledger) {
		missing, err := absent(err)
		if err != nil {
			return err
		}
		if missing && !a.o.DryRun {
			return fmt.Errorf("account %q is not there", t.Account)
		}
		if !missing && transfer.Memo == memo {
			if transfer.Amount != t.Amount {
				return fmt.Errorf("top-up %s/%s: paid %s already, not %s; give another payment another key",
					t.Account, t.Key, transfer.Amount, t.Amount)
			}
			a.report(s)
			return nil
		}
	}
	s.Action, s.Note = Created, t.Amount.String()
	if !a.o.DryRun {
		posted, err := a.c.TopUp(a.ctx, t.Account, client.Payment{Amount: t.Amount, Memo: memo}, "apply/"+t.Account+"/"+t.Key)
		if err != nil {
			return err
		}
		s.Index = posted.Index
	}
	a.report(s)
	return nil
}

// ledgerPage is how many transfers are asked for at once, the most that the API
// gives.
const ledgerPage = 1000
