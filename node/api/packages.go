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

func (s *server) addPackages(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("packages", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/packages", "list-packages", "List packages"), s.packages)
	huma.Register(api, op(http.MethodGet, "/packages/{id}", "get-package", "Show a package"), s.getPackage)
	huma.Register(api, op(http.MethodPut, "/packages/{id}", "put-package",
		"Create a package, or replace its settings", client.RoleBilling), s.putPackage)
	huma.Register(api, op(http.MethodDelete, "/packages/{id}", "delete-package",
		"Delete a package; what was bought of it stays", client.RoleBilling), s.deletePackage)
	huma.Register(api, op(http.MethodGet, "/accounts/{id}/packages", "list-purchases",
		"List what an account has bought, in the order of use"), s.purchases)
	huma.Register(api, once(op(http.MethodPost, "/accounts/{id}/packages", "buy-package",
		"Buy a package for an account", client.RoleBilling)), s.buyPackage)
}

func packageKind() kind[fsm.Package, client.Package] {
	return kind[fsm.Package, client.Package]{"package", "tandem package list", (*fsm.State).Package, showPackage}
}

func (s *server) packages(ctx context.Context, in *Paging) (*page[client.Package], error) {
	return pageOf(ctx, s, in, (*fsm.State).Packages, func(p *fsm.Package) string { return p.ID }, nil, showPackage)
}

func (s *server) getPackage(_ context.Context, in *getNamed) (*object[client.Package], error) {
	return find(s, packageKind(), in.ID)
}

type putPackage struct {
	Named
	Keyed
	Body client.PackageSettings
}

func (s *server) putPackage(ctx context.Context, in *putPackage) (*object[client.Package], error) {
	b := &in.Body
	return store(ctx, s, packageKind(), in.Key, in.ID, &fsm.PutPackage{Package: fsm.Package{
		ID: in.ID, Name: b.Name, Currency: b.Currency, Price: b.Price, Time: time.Duration(b.Time),
		Prefixes: b.Prefixes, Validity: time.Duration(b.Validity), Priority: b.Priority,
	}})
}

func (s *server) deletePackage(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DeletePackage{ID: in.ID})
}

// purchases lists everything at once: an account has a few.
func (s *server) purchases(ctx context.Context, in *getNamed) (*page[client.Purchase], error) {
	var items []client.Purchase
	var index uint64
	var found bool
	s.cfg.State.View(func(st *fsm.State) {
		_, found = st.Account(in.ID)
		for _, p := range st.Purchases(in.ID) {
			items = append(items, showPurchase(&p))
		}
		index = st.Index()
	})
	if !found {
		return nil, notThere("account %q", in.ID).hint("tandem account list")
	}
	return listed(ctx, items, "", index), nil
}

type purchase struct {
	Named
	Keyed
	Body client.Buy
}

// buyPackage answers from the request and the state machine's first result alone,
// so that a retry gets the same answer.
func (s *server) buyPackage(ctx context.Context, in *purchase) (*object[client.Bought], error) {
	if err := needKey(in.Key); err != nil {
		return nil, err
	}
	r, err := s.commit(ctx, in.Key, &fsm.BuyPackage{
		Account: in.ID, Package: in.Body.Package, Memo: in.Body.Memo, Actor: actorOf(asking(ctx).token),
	})
	if err != nil {
		return nil, err
	}
	return &object[client.Bought]{Index: r.Index, Body: client.Bought{
		Account: in.ID, Package: in.Body.Package, Purchase: r.Count, Index: r.Index, At: timeOf(r.At),
	}}, nil
}

func showPackage(p *fsm.Package) client.Package {
	return client.Package{
		ID: p.ID,
		PackageSettings: client.PackageSettings{
			Name: p.Name, Currency: p.Currency, Price: p.Price, Time: client.Seconds(p.Time), Prefixes: p.Prefixes,
			Validity: client.Seconds(p.Validity), Priority: p.Priority,
		},
		Created: timeOf(p.Created),
	}
}

func showPurchase(p *fsm.Purchase) client.Purchase {
	return client.Purchase{
		ID: p.ID, Package: p.Package, Left: client.Seconds(billing.SecondsOf(p.Balance.Funds)),
		Held: client.Seconds(billing.SecondsOf(p.Balance.Held)), Prefixes: p.Prefixes, Priority: p.Priority,
		BoughtAt: timeOf(p.Bought), ValidTill: timeOf(p.Until),
	}
}

func showPrepaid(list []fsm.Prepaid) []client.PackageUse {
	out := make([]client.PackageUse, 0, len(list))
	for _, p := range list {
		out = append(out, client.PackageUse{Package: p.Package, Purchase: p.Purchase, Time: client.Seconds(p.Time)})
	}
	return out
}
