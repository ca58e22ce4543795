package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/fsm/number"
	"tandem/node/api/client"
)

func (s *server) addGateways(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("gateways", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/gateways/mapping", "list-mapping-gateways", "List ingress gateways"), s.mappings)
	huma.Register(api, op(http.MethodGet, "/gateways/mapping/{id}", "get-mapping-gateway", "Show an ingress gateway"), s.mapping)
	huma.Register(api, op(http.MethodPut, "/gateways/mapping/{id}", "put-mapping-gateway",
		"Create an ingress gateway, or replace its settings", client.RoleRouting), s.putMapping)
	huma.Register(api, op(http.MethodDelete, "/gateways/mapping/{id}", "delete-mapping-gateway",
		"Delete an ingress gateway; its live calls go on", client.RoleRouting), s.deleteGateway(true))
	huma.Register(api, op(http.MethodGet, "/gateways/routing", "list-routing-gateways", "List egress gateways"), s.routings)
	huma.Register(api, op(http.MethodGet, "/gateways/routing/{id}", "get-routing-gateway", "Show an egress gateway"), s.routing)
	huma.Register(api, op(http.MethodPut, "/gateways/routing/{id}", "put-routing-gateway",
		"Create an egress gateway, or replace its settings", client.RoleRouting), s.putRouting)
	huma.Register(api, op(http.MethodDelete, "/gateways/routing/{id}", "delete-routing-gateway",
		"Delete an egress gateway; its live calls go on", client.RoleRouting), s.deleteGateway(false))
}

// The names of a gateway's choices, in the order of fsm's constants; the first
// is the default.
func mediaModes() []string     { return []string{"auto", "on", "off", "must-on"} }
func sourcePolicies() []string { return []string{"auto", "strict", "any"} }
func prefixModes() []string    { return []string{"continue", "terminate"} }

type listGateways struct {
	Paging
	Account string `query:"account" maxLength:"64" doc:"Gateways of this account only"`
}

func (s *server) mappings(ctx context.Context, in *listGateways) (*page[client.MappingGateway], error) {
	return pageOf(ctx, s, &in.Paging, (*fsm.State).MappingGateways, func(g *fsm.MappingGateway) string { return g.ID },
		func(g *fsm.MappingGateway) bool { return in.Account == "" || g.Account == in.Account }, showMapping)
}

func mappingKind() kind[fsm.MappingGateway, client.MappingGateway] {
	return kind[fsm.MappingGateway, client.MappingGateway]{
		"mapping gateway", "tandem gateway list --role mapping", (*fsm.State).MappingGateway, showMapping,
	}
}

func (s *server) mapping(_ context.Context, in *getNamed) (*object[client.MappingGateway], error) {
	return find(s, mappingKind(), in.ID)
}

type putMapping struct {
	Named
	Keyed
	Body client.MappingSettings
}

func (s *server) putMapping(ctx context.Context, in *putMapping) (*object[client.MappingGateway], error) {
	g, err := readMapping(in.ID, &in.Body)
	if err != nil {
		return nil, err
	}
	return store(ctx, s, mappingKind(), in.Key, in.ID, &fsm.PutMappingGateway{Gateway: g})
}

func (s *server) routings(ctx context.Context, in *listGateways) (*page[client.RoutingGateway], error) {
	return pageOf(ctx, s, &in.Paging, (*fsm.State).RoutingGateways, func(g *fsm.RoutingGateway) string { return g.ID },
		func(g *fsm.RoutingGateway) bool { return in.Account == "" || g.Account == in.Account }, showRouting)
}

func routingKind() kind[fsm.RoutingGateway, client.RoutingGateway] {
	return kind[fsm.RoutingGateway, client.RoutingGateway]{
		"routing gateway", "tandem gateway list --role routing", (*fsm.State).RoutingGateway, showRouting,
	}
}

func (s *server) routing(_ context.Context, in *getNamed) (*object[client.RoutingGateway], error) {
	return find(s, routingKind(), in.ID)
}

type putRouting struct {
	Named
	Keyed
	Body client.RoutingSettings
}

func (s *server) putRouting(ctx context.Context, in *putRouting) (*object[client.RoutingGateway], error) {
	g, err := readRouting(in.ID, &in.Body)
	if err != nil {
		return nil, err
	}
	return store(ctx, s, routingKind(), in.Key, in.ID, &fsm.PutRoutingGateway{Gateway: g})
}

func (s *server) deleteGateway(mapping bool) func(context.Context, *deleteNamed) (*object[client.Done], error) {
	return func(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
		return s.remove(ctx, in.Key, &fsm.DeleteGateway{ID: in.ID, Mapping: mapping})
	}
}

func showMapping(g *fsm.MappingGateway) client.MappingGateway {
	return client.MappingGateway{
		ID: g.ID,
		MappingSettings: client.MappingSettings{
			Account: g.Account, Addrs: texts(g.Addrs), Port: g.Port, TechPrefix: g.TechPrefix, Disabled: g.Disabled,
			MaxCalls: g.MaxCalls, MaxCPS: g.MaxCPS, RateTable: g.RateTable, Routes: g.Routes, DenyRoutes: g.DenyRoutes,
			Rules: showRules(&g.Rules), Media: nameOf(mediaModes(), int(g.Media)),
			Source: nameOf(sourcePolicies(), int(g.Source)), NAT: g.NAT, Profile: showProfile(&g.Profile),
		},
		Live: g.Live, CallsTotal: g.CallsTotal,
	}
}

func readMapping(id string, in *client.MappingSettings) (fsm.MappingGateway, error) {
	var f fields
	g := fsm.MappingGateway{
		ID: id, Account: in.Account, Addrs: f.networks("body.addrs", in.Addrs), Port: in.Port, TechPrefix: in.TechPrefix,
		Disabled: in.Disabled, MaxCalls: in.MaxCalls, MaxCPS: in.MaxCPS, Routes: in.Routes, DenyRoutes: in.DenyRoutes,
		Rules: f.rules(&in.Rules), Media: fsm.MediaMode(choose(in.Media, mediaModes())),
		Source: fsm.SourcePolicy(choose(in.Source, sourcePolicies())), NAT: in.NAT, RateTable: in.RateTable,
		Profile: readProfile(&in.Profile),
	}
	return g, f.err()
}

func showRouting(g *fsm.RoutingGateway) client.RoutingGateway {
	out := client.RoutingGateway{
		ID: g.ID,
		RoutingSettings: client.RoutingSettings{
			Account: g.Account, Prefixes: g.Prefixes, Mode: nameOf(prefixModes(), int(g.Mode)), Priority: g.Priority,
			Host: g.Host, Via: g.Via, Disabled: g.Disabled, MaxCalls: g.MaxCalls, MaxCPS: g.MaxCPS,
			CPSPeriod: client.Seconds(g.CPSPeriod), MaxDuration: client.Seconds(g.MaxDuration),
			Ring: client.Seconds(g.Ring), FirstTry: client.Seconds(g.FirstTry), Rules: showRules(&g.Rules),
			Standalone: g.Standalone, CheckRate: g.CheckRate, MinProfit: g.MinProfit, MaxRate: g.MaxRate,
			Source: nameOf(sourcePolicies(), int(g.Source)), NAT: g.NAT,
			Media: chosen(int(g.Media), mediaModes()), NoCheck: g.NoCheck, Profile: showProfile(&g.Profile),
		},
		Live: g.Live, CallsTotal: g.CallsTotal, OutUntil: timeOf(g.OutUntil), OutReason: g.OutReason,
	}
	if g.Check != (fsm.Addr{}) {
		out.Check = g.Check.String()
	}
	for _, a := range g.Addrs {
		out.Addrs = append(out.Addrs, a.String())
	}
	return out
}

func readRouting(id string, in *client.RoutingSettings) (fsm.RoutingGateway, error) {
	var f fields
	g := fsm.RoutingGateway{
		ID: id, Account: in.Account, Prefixes: in.Prefixes, Mode: fsm.PrefixMode(choose(in.Mode, prefixModes())),
		Priority: in.Priority, Host: in.Host, Via: in.Via, Disabled: in.Disabled, MaxCalls: in.MaxCalls, MaxCPS: in.MaxCPS,
		CPSPeriod: time.Duration(in.CPSPeriod), MaxDuration: time.Duration(in.MaxDuration), Ring: time.Duration(in.Ring),
		FirstTry: time.Duration(in.FirstTry), Rules: f.rules(&in.Rules), Standalone: in.Standalone, CheckRate: in.CheckRate,
		MinProfit: in.MinProfit, MaxRate: in.MaxRate, Source: fsm.SourcePolicy(choose(in.Source, sourcePolicies())), NAT: in.NAT,
		Media: fsm.MediaMode(choose(in.Media, mediaModes())), NoCheck: in.NoCheck, Profile: readProfile(&in.Profile),
	}
	if in.Check != "" {
		if g.Check = f.address("body.check", in.Check); g.Check.Port == 0 {
			g.Check.Port = sipPort
		}
	}
	for i, text := range in.Addrs {
		a := f.address("body.addrs["+strconv.Itoa(i)+"]", text)
		if a.Port == 0 {
			a.Port = sipPort
		}
		g.Addrs = append(g.Addrs, a)
	}
	return g, f.err()
}

// sipPort is SIP's own (RFC 3261 section 19.1.2), of addresses that name none.
const sipPort = 5060

func showRules(r *fsm.NumberRules) client.NumberRules {
	out := client.NumberRules{
		AllowCaller: r.AllowCaller, DenyCaller: r.DenyCaller, AllowCallee: r.AllowCallee, DenyCallee: r.DenyCallee,
		CallerWhite: r.CallerWhite, CallerBlack: r.CallerBlack, CalleeWhite: r.CalleeWhite, CalleeBlack: r.CalleeBlack,
		Lengths: number.Lengths(r.Lengths).String(),
	}
	for _, t := range r.CallerPlan {
		out.CallerPlan = append(out.CallerPlan, client.Transform(t))
	}
	for _, t := range r.CalleePlan {
		out.CalleePlan = append(out.CalleePlan, client.Transform(t))
	}
	return out
}

func (f *fields) rules(in *client.NumberRules) fsm.NumberRules {
	out := fsm.NumberRules{
		AllowCaller: in.AllowCaller, DenyCaller: in.DenyCaller, AllowCallee: in.AllowCallee, DenyCallee: in.DenyCallee,
		CallerWhite: in.CallerWhite, CallerBlack: in.CallerBlack, CalleeWhite: in.CalleeWhite, CalleeBlack: in.CalleeBlack,
	}
	if in.Lengths != "" {
		l, err := number.ParseLengths(in.Lengths)
		if err != nil {
			f.bad("body.rules.lengths", in.Lengths, "%v", err)
		}
		out.Lengths = uint64(l)
	}
	for _, t := range in.CallerPlan {
		out.CallerPlan = append(out.CallerPlan, fsm.Transform(t))
	}
	for _, t := range in.CalleePlan {
		out.CalleePlan = append(out.CalleePlan, fsm.Transform(t))
	}
	return out
}
