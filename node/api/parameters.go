package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addParameters(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("parameters", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/params", "list-parameters", "List the system parameters"), s.parameters)
	huma.Register(api, op(http.MethodGet, "/params/{id}", "get-parameter", "Show a system parameter, by its name or an alias"), s.parameter)
	huma.Register(api, op(http.MethodPut, "/params/{id}", "set-parameter", "Change a system parameter", client.RoleAdmin), s.setParameter)
}

// parameters is a short list: it comes in one page.
func (s *server) parameters(ctx context.Context, _ *Reading) (*page[client.Parameter], error) {
	registry := fsm.Registry()
	items := make([]client.Parameter, 0, len(registry))
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		for i := range registry {
			items = append(items, showParameter(st, &registry[i]))
		}
	})
	return listed(ctx, items, "", index), nil
}

func (s *server) parameter(_ context.Context, in *getNamed) (*object[client.Parameter], error) {
	return s.findParameter(in.ID)
}

func (s *server) findParameter(name string) (*object[client.Parameter], error) {
	p, err := fsm.LookupParameter(name)
	if err != nil {
		return nil, notThere("parameter %q", name).hint("tandem param list")
	}
	out := &object[client.Parameter]{}
	s.cfg.State.View(func(st *fsm.State) {
		out.Index, out.Body = st.Index(), showParameter(st, &p)
	})
	return out, nil
}

type setParameter struct {
	Named
	Keyed
	Body client.ParameterValue
}

func (s *server) setParameter(ctx context.Context, in *setParameter) (*object[client.Parameter], error) {
	p, err := fsm.LookupParameter(in.ID)
	if err != nil {
		return nil, notThere("parameter %q", in.ID).hint("tandem param list")
	}
	if _, err := p.Parse(in.Body.Value); err != nil {
		return nil, badField("body.value", in.Body.Value, "%v", err).hint("possible for %s: %s", p.Name, p.Range())
	}
	r, err := s.commit(ctx, in.Key, &fsm.SetParameter{Name: p.Name, Value: in.Body.Value})
	if err != nil {
		return nil, err
	}
	out, err := s.findParameter(p.Name)
	if err == nil {
		out.Index = r.Index
	}
	return out, err
}

// parameterKinds are the names of kinds, in the order of fsm's constants.
func parameterKinds() []string {
	return []string{"", "flag", "count", "time", "money", "choice", "lengths", "networks", "zone"}
}

func showParameter(st *fsm.State, p *fsm.Parameter) client.Parameter {
	value, set := st.ParameterValue(p.Name)
	if !set {
		value = p.Default
	}
	return client.Parameter{
		Name: p.Name, Value: value, Default: p.Default, Changed: value != p.Default, Vendor: p.Vendor, Group: p.Group,
		Kind: nameOf(parameterKinds(), int(p.Kind)), Unit: p.Unit, Range: p.Range(), About: p.About, Aliases: p.Aliases,
		Pending: p.Pending(),
	}
}
