package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/sip/auth"
)

func (s *server) addPhones(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("phones", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/phones", "list-phones", "List phones, without their contacts"), s.phones)
	huma.Register(api, op(http.MethodGet, "/phones/{id}", "get-phone", "Show a phone with its contacts"), s.phone)
	huma.Register(api, op(http.MethodPut, "/phones/{id}", "put-phone",
		"Create a phone, or replace its settings", client.RoleOperator, client.RoleRouting), s.putPhone)
	huma.Register(api, op(http.MethodDelete, "/phones/{id}", "delete-phone",
		"Delete a phone with its contacts; its live calls go on", client.RoleOperator, client.RoleRouting), s.deletePhone)
	huma.Register(api, op(http.MethodDelete, "/phones/{id}/contacts", "drop-contacts",
		"Remove the contacts of a phone", client.RoleOperator), s.dropContacts)
}

func (s *server) phones(ctx context.Context, in *listGateways) (*page[client.Phone], error) {
	realm := s.realm()
	return pageOf(ctx, s, &in.Paging, (*fsm.State).Phones, func(p *fsm.Phone) string { return p.Number },
		func(p *fsm.Phone) bool { return in.Account == "" || p.Account == in.Account },
		func(p *fsm.Phone) client.Phone { return showPhone(p, realm) })
}

// realm is the realm of passwords.
func (s *server) realm() (realm string) {
	s.cfg.State.View(func(st *fsm.State) { realm = st.Params().Realm })
	return realm
}

// phoneKind shows phones without their contacts.
func phoneKind(realm string) kind[fsm.Phone, client.Phone] {
	return kind[fsm.Phone, client.Phone]{
		"phone", "tandem phone list", (*fsm.State).Phone, func(p *fsm.Phone) client.Phone { return showPhone(p, realm) },
	}
}

func (s *server) phone(_ context.Context, in *getNamed) (*object[client.Phone], error) {
	var p fsm.Phone
	var bound []client.Contact
	var found bool
	out := &object[client.Phone]{}
	realm := ""
	s.cfg.State.View(func(st *fsm.State) {
		p, found = st.Phone(in.ID)
		out.Index, realm = st.Index(), st.Params().Realm
		for _, b := range st.Bindings(in.ID) {
			_, reachable := st.FlowOwner(b.Flow)
			bound = append(bound, showContact(&b, reachable))
		}
	})
	if !found {
		return nil, notThere("phone %q", in.ID).hint("tandem phone list")
	}
	out.Body = showPhone(&p, realm)
	out.Body.Contacts = bound
	return out, nil
}

type putPhone struct {
	Named
	Keyed
	Body client.PhoneSettings
}

// putPhone keeps of a password what checks it, for both algorithms.
func (s *server) putPhone(ctx context.Context, in *putPhone) (*object[client.Phone], error) {
	var f fields
	b, realm := &in.Body, s.realm()
	p := fsm.Phone{
		Number: in.ID, User: b.User, Account: b.Account, LockIn: b.LockIn, LockOut: b.LockOut, MaxIn: b.MaxIn, MaxOut: b.MaxOut,
		MaxCalls: b.MaxCalls, MaxContacts: b.MaxContacts, RateTable: b.RateTable, Routes: b.Routes, DenyRoutes: b.DenyRoutes,
		Rules: f.rules(&b.Rules), Media: fsm.MediaMode(choose(b.Media, mediaModes())),
		Source: fsm.SourcePolicy(choose(b.Source, sourcePolicies())), NAT: b.NAT, Profile: readProfile(&b.Profile),
	}
	if b.Password != "" {
		user := cmp.Or(b.User, in.ID)
		for _, a := range []auth.Algorithm{auth.SHA256, auth.MD5} {
			p.Secrets = append(p.Secrets, fsm.Secret{Algorithm: string(a), Realm: realm, HA1: auth.HA1(user, realm, b.Password, a)})
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return store(ctx, s, phoneKind(realm), in.Key, in.ID, &fsm.PutPhone{Phone: p})
}

func (s *server) deletePhone(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DeletePhone{Number: in.ID})
}

func (s *server) dropContacts(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DropBinding{Number: in.ID, Reason: "an operator's wish"})
}

func showPhone(p *fsm.Phone, realm string) client.Phone {
	return client.Phone{
		Number: p.Number,
		PhoneSettings: client.PhoneSettings{
			Account: p.Account, User: p.User, LockIn: p.LockIn, LockOut: p.LockOut, MaxIn: p.MaxIn, MaxOut: p.MaxOut, MaxCalls: p.MaxCalls,
			MaxContacts: p.MaxContacts, RateTable: p.RateTable, Routes: p.Routes, DenyRoutes: p.DenyRoutes, Rules: showRules(&p.Rules),
			Media: nameOf(mediaModes(), int(p.Media)), Source: nameOf(sourcePolicies(), int(p.Source)), NAT: p.NAT, Profile: showProfile(&p.Profile),
		},
		HasPassword: slices.ContainsFunc(p.Secrets, func(k fsm.Secret) bool { return k.Realm == realm }),
		LiveIn:      p.LiveIn, LiveOut: p.LiveOut, CallsTotal: p.CallsTotal,
	}
}

func showContact(b *fsm.Binding, reachable bool) client.Contact {
	return client.Contact{
		ID: b.ID, URI: b.Contact, Line: b.Flow.Line, Via: b.Flow.Via, Source: b.Flow.Peer.String(), Q: float64(b.Q) / 1000,
		UserAgent: b.UserAgent, Since: timeOf(b.Since), Expires: timeOf(b.Expires), Reachable: reachable,
	}
}
