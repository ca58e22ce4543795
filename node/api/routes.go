package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addRoutes(api huma.API) {
	op := tagged("routes", operation(api, http.MethodPost, "/routes/simulate", "simulate-route",
		"Say what would become of a call, without making it"))
	huma.Register(api, op, s.simulate)
}

type simulate struct{ Body client.SimulateRequest }

// simulate runs the state machine's own decision. The call comes from where one
// of the asked ingress would.
func (s *server) simulate(_ context.Context, in *simulate) (*object[client.Simulation], error) {
	var out *object[client.Simulation]
	var err error
	s.cfg.State.View(func(st *fsm.State) {
		var source fsm.Addr
		var prefix string
		if source, prefix, err = sourceOf(st, &in.Body); err != nil {
			return
		}
		x := st.Simulate(fsm.StartCall{Source: source, SourceVia: "udp", Caller: in.Body.Caller, Callee: prefix + in.Body.Callee})
		out = &object[client.Simulation]{Index: st.Index(), Body: showSimulation(st, &x)}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// sourceOf returns where an INVITE of the simulated call would come from, and
// the tech prefix by which its ingress is told from others there.
func sourceOf(st *fsm.State, in *client.SimulateRequest) (fsm.Addr, string, error) {
	switch {
	case in.Ingress != "":
		g, ok := st.MappingGateway(in.Ingress)
		if !ok {
			return fsm.Addr{}, "", notThere("mapping gateway %q", in.Ingress).hint("tandem gateway list --role mapping")
		}
		addr, prefix := sourceOfIngress(&g)
		return addr, prefix, nil
	case in.Source != "":
		a, err := fsm.ParseAddr(in.Source)
		if err != nil {
			return a, "", badField("body.source", in.Source, "%v", err)
		}
		if a.Port == 0 {
			a.Port = sipPort
		}
		return a, "", nil
	case in.Account != "":
		return sourceOfAccount(st, in.Account)
	}
	return fsm.Addr{}, "", badField("body.ingress", "", "ingress, source or account is needed")
}

func sourceOfIngress(g *fsm.MappingGateway) (fsm.Addr, string) {
	a := fsm.AddrFrom16(g.Addrs[0].IP, g.Port)
	if a.Port == 0 {
		a.Port = sipPort
	}
	return a, g.TechPrefix
}

func sourceOfAccount(st *fsm.State, account string) (fsm.Addr, string, error) {
	if _, ok := st.Account(account); !ok {
		return fsm.Addr{}, "", notThere("account %q", account).hint("tandem account list")
	}
	for after, more := "", true; more; {
		gateways := st.MappingGateways(after, fsm.MaxPage)
		for i := range gateways {
			after = gateways[i].ID
			if gateways[i].Account == account {
				addr, prefix := sourceOfIngress(&gateways[i])
				return addr, prefix, nil
			}
		}
		more = len(gateways) == fsm.MaxPage
	}
	return fsm.Addr{}, "", problem(http.StatusConflict, client.CodeConflict, "account %q has no mapping gateway: its calls come from nowhere", account).
		hint("tandem gateway create --role mapping --account %s", account)
}

func showSimulation(st *fsm.State, x *fsm.Explanation) client.Simulation {
	out := client.Simulation{
		Code: x.Code.String(), Detail: x.Detail, SIPStatus: x.Refusal.Status, Ingress: x.Ingress, Account: x.Account,
		Caller: x.Caller, Callee: x.Callee, Slice: client.Seconds(x.Talk), Prepaid: client.Seconds(x.Prepaid),
		Candidates: []client.Candidate{}, Skipped: []client.Skipped{},
	}
	if a, ok := st.Account(x.Account); ok {
		out.Currency, out.Available = a.Currency, a.Balance.Available()
		if talk, ok := x.Rate.Affords(out.Available); ok && x.RateTable != "" {
			out.Affords = client.Seconds(talk)
		}
	}
	if x.RateTable != "" {
		out.Rate = showCallRate(x.RateTable, x.RateVer, x.RatePrefix, x.Area, x.Rate)
	}
	for i := range x.Candidates {
		c := &x.Candidates[i]
		shown := client.Candidate{
			Gateway: c.Gateway, Vendor: c.Vendor, Prefix: c.Prefix, Priority: c.Priority, Caller: c.Caller, Callee: c.Callee,
			Host: c.Host, Cost: c.Cost.Price,
		}
		for _, a := range c.Addrs {
			shown.Addrs = append(shown.Addrs, a.String())
		}
		if g, ok := st.RoutingGateway(c.Gateway); ok {
			shown.Live, shown.MaxCalls = g.Live, g.MaxCalls
		}
		out.Candidates = append(out.Candidates, shown)
	}
	for _, k := range x.Skipped {
		out.Skipped = append(out.Skipped, client.Skipped{Gateway: k.Gateway, Reason: k.Reason})
	}
	return out
}
