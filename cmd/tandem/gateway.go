package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

// The roles of gateways.
const (
	roleMapping = "mapping"
	roleRouting = "routing"
)

// gateway is either kind in one list.
type gateway struct {
	Role    string                 `json:"role"`
	Mapping *client.MappingGateway `json:"mapping,omitempty"`
	Routing *client.RoutingGateway `json:"routing,omitempty"`
}

// common are the fields that both kinds have.
type common struct {
	id, account    string
	addrs          []string
	disabled       bool
	live, maxCalls uint32
	callsTotal     uint64
}

func (g gateway) common() common {
	if m := g.Mapping; m != nil {
		return common{m.ID, m.Account, m.Addrs, m.Disabled, m.Live, m.MaxCalls, m.CallsTotal}
	}
	r := g.Routing
	addrs := r.Addrs
	if r.Host != "" {
		addrs = []string{r.Host}
	}
	return common{r.ID, r.Account, addrs, r.Disabled, r.Live, r.MaxCalls, r.CallsTotal}
}

func (a *app) gatewayCommand() *cobra.Command {
	c := group("gateway", "Customers' and carriers' gateways", a.gatewayList(), a.gatewayShow(),
		a.gatewayEdit("create", true), a.gatewayEdit("set", false),
		a.gatewayDisable("enable", false), a.gatewayDisable("disable", true), a.gatewayRemove())
	c.Aliases = []string{"gw"}
	return c
}

// roleFlag adds --role to a command.
func roleFlag(cmd *cobra.Command, help string) *string {
	return cmd.Flags().String("role", "", help)
}

const anyRole = "mapping (ingress) or routing (egress); needed only when both have a gateway of this name"

func (a *app) gatewayList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List gateways", Args: cobra.NoArgs}
	role := roleFlag(cmd, "mapping (ingress) or routing (egress); none: both")
	account := cmd.Flags().String("account", "", "gateways of this account")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := checkRole(*role, true); err != nil {
			return err
		}
		q := client.GatewayQuery{Page: page(0), Account: *account}
		var items []gateway
		if *role != roleRouting {
			list, err := collect(0, client.Each(ctx, q, c.MappingGateways))
			if err != nil {
				return err
			}
			for i := range list {
				items = append(items, gateway{Role: roleMapping, Mapping: &list[i]})
			}
		}
		if *role != roleMapping {
			list, err := collect(0, client.Each(ctx, q, c.RoutingGateways))
			if err != nil {
				return err
			}
			for i := range list {
				items = append(items, gateway{Role: roleRouting, Routing: &list[i]})
			}
		}
		return render.List(a.printer(), items, gatewayColumns())
	})
	return cmd
}

func gatewayColumns() []render.Column[gateway] {
	type G = gateway
	routing := func(value func(*client.RoutingGateway) any) func(G) any {
		return func(g G) any {
			if g.Routing == nil {
				return nil
			}
			return value(g.Routing)
		}
	}
	return []render.Column[G]{
		col("ID", func(g G) any { return g.common().id }),
		col("ROLE", func(g G) any { return g.Role }),
		col("ACCOUNT", func(g G) any { return g.common().account }),
		col("ADDRESS", func(g G) any { return g.common().addrs }),
		col("PREFIXES", routing(func(r *client.RoutingGateway) any { return prefixes(r.Prefixes) })),
		col("PRIO", routing(func(r *client.RoutingGateway) any { return r.Priority })),
		col("CALLS", func(g G) any { return g.common().live }),
		col("MAX", func(g G) any { return orNone(uint64(g.common().maxCalls)) }),
		col("EVER", func(g G) any { return g.common().callsTotal }),
		col("DISABLED", func(g G) any { return g.common().disabled }),
		col("OUT UNTIL", routing(func(r *client.RoutingGateway) any { return r.OutUntil })),
	}
}

// prefixes shows the empty prefix, which every number has, as "any".
func prefixes(list []string) []string {
	const most = 8 // in a table
	out := make([]string, 0, len(list))
	for i, p := range list {
		switch {
		case i == most:
			return append(out, fmt.Sprintf("and %d more", len(list)-most))
		case p == "":
			p = "any"
		}
		out = append(out, p)
	}
	return out
}

func (a *app) gatewayShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a gateway", Args: cobra.ExactArgs(1)}
	role := roleFlag(cmd, anyRole)
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		g, err := findGateway(ctx, c, *role, args[0])
		if err != nil {
			return err
		}
		p := a.printer()
		if p.Format != render.Table {
			if g.Mapping != nil {
				return render.Object(p, *g.Mapping, nil)
			}
			return render.Object(p, *g.Routing, nil)
		}
		if err := render.Object(p, g, gatewayColumns()); err != nil {
			return err
		}
		fmt.Fprintln(a.out, "settings")
		return render.List(p, g.settings(), []render.Column[settings.Change]{
			col("FIELD", func(c settings.Change) any { return c.Name }),
			col("VALUE", func(c settings.Change) any { return c.New }),
		})
	})
	return cmd
}

// settings lists what differs from nothing.
func (g gateway) settings() []settings.Change {
	var list []settings.Change
	if g.Mapping != nil {
		list = settings.Diff(client.MappingSettings{}, g.Mapping.MappingSettings)
	} else {
		list = settings.Diff(client.RoutingSettings{}, g.Routing.RoutingSettings)
	}
	return list
}

// findGateway looks a gateway up by name, in both roles when none is given.
func findGateway(ctx context.Context, c *client.Client, role, id string) (gateway, error) {
	if err := checkRole(role, true); err != nil {
		return gateway{}, err
	}
	m, _, errM := c.MappingGateway(ctx, id)
	r, _, errR := c.RoutingGateway(ctx, id)
	missingM, errM := notFound(errM, true)
	missingR, errR := notFound(errR, true)
	if err := errors.Join(errM, errR); err != nil {
		return gateway{}, err
	}
	isMapping := !missingM && role != roleRouting
	isRouting := !missingR && role != roleMapping
	switch {
	case isMapping && isRouting:
		return gateway{}, badUsage("%q is a mapping and a routing gateway: which one? --role mapping or --role routing", id)
	case isMapping:
		return gateway{Role: roleMapping, Mapping: &m}, nil
	case isRouting:
		return gateway{Role: roleRouting, Routing: &r}, nil
	}
	return gateway{}, &failure{Code: exitFailed, What: fmt.Sprintf("gateway %q is not there", id), Next: "tandem gateway list"}
}

func checkRole(role string, optional bool) error {
	if role == roleMapping || role == roleRouting || optional && role == "" {
		return nil
	}
	return badUsage("--role %q: want mapping (calls come in) or routing (calls go out)", role)
}

// gatewayEdit creates a gateway or changes settings of one.
func (a *app) gatewayEdit(use string, create bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: "Change settings of a gateway", Args: cobra.ExactArgs(1)}
	if create {
		cmd.Short = "Create a gateway"
	}
	role := roleFlag(cmd, anyRole)
	settings.Bind(cmd.Flags(), client.MappingSettings{}, client.RoutingSettings{})
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id, g := args[0], gateway{Role: *role, Mapping: &client.MappingGateway{}, Routing: &client.RoutingGateway{}}
		if err := checkRole(*role, !create); err != nil {
			return err
		}
		old, err := findGateway(ctx, c, *role, id)
		switch {
		case create && err == nil:
			return exists(old.Role+" gateway", id, "tandem gateway set "+settings.Quote(id)+" --role "+old.Role)
		case create && !isNotThere(err), !create && err != nil:
			return err
		case !create:
			g = old
		}
		if g.Role == roleMapping {
			next := g.Mapping.MappingSettings
			if err := settings.Apply(cmd.Flags(), &next); err != nil {
				return usage(err)
			}
			return a.putMapping(ctx, c, id, g.Mapping.MappingSettings, next, create)
		}
		next := g.Routing.RoutingSettings
		if err := settings.Apply(cmd.Flags(), &next); err != nil {
			return usage(err)
		}
		return a.putRouting(ctx, c, id, g.Routing.RoutingSettings, next, create)
	})
	return cmd
}

func (a *app) putMapping(ctx context.Context, c *client.Client, id string, old, next client.MappingSettings, create bool) error {
	if !create && len(settings.Diff(old, next)) == 0 {
		return a.unchanged("mapping gateway %q", id)
	}
	made, r, err := c.PutMappingGateway(ctx, id, next)
	if err != nil {
		return fmt.Errorf("mapping gateway %q not written: %w", id, err)
	}
	return a.changed(edited("mapping gateway", id, "tandem gateway", " --role mapping", old, made.MappingSettings, create, r, made))
}

func (a *app) putRouting(ctx context.Context, c *client.Client, id string, old, next client.RoutingSettings, create bool) error {
	if !create && len(settings.Diff(old, next)) == 0 {
		return a.unchanged("routing gateway %q", id)
	}
	made, r, err := c.PutRoutingGateway(ctx, id, next)
	if err != nil {
		return fmt.Errorf("routing gateway %q not written: %w", id, err)
	}
	return a.changed(edited("routing gateway", id, "tandem gateway", " --role routing", old, made.RoutingSettings, create, r, made))
}

func (a *app) gatewayDisable(use string, disabled bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: "Give a gateway calls again", Args: cobra.ExactArgs(1)}
	if disabled {
		cmd.Short = "Give a gateway no new calls; live ones go on"
	}
	role := roleFlag(cmd, anyRole)
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		g, err := findGateway(ctx, c, *role, args[0])
		if err != nil {
			return err
		}
		if g.Mapping != nil {
			next := g.Mapping.MappingSettings
			next.Disabled = disabled
			return a.putMapping(ctx, c, args[0], g.Mapping.MappingSettings, next, false)
		}
		next := g.Routing.RoutingSettings
		next.Disabled = disabled
		return a.putRouting(ctx, c, args[0], g.Routing.RoutingSettings, next, false)
	})
	return cmd
}

func (a *app) gatewayRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm ID", Short: "Remove a gateway; its live calls go on", Args: cobra.ExactArgs(1)}
	role := roleFlag(cmd, anyRole)
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		g, err := findGateway(ctx, c, *role, id)
		if err != nil {
			return err
		}
		if !a.flags.yes {
			return refused(fmt.Sprintf("remove %s gateway %q", g.Role, id), "its settings are gone then; its live calls go on")
		}
		var done client.Done
		var undo string
		if g.Mapping != nil {
			done, err = c.DeleteMappingGateway(ctx, id)
			undo = recreate("gateway", id, g.Mapping.MappingSettings, client.MappingSettings{})
		} else {
			done, err = c.DeleteRoutingGateway(ctx, id)
			undo = recreate("gateway", id, g.Routing.RoutingSettings, client.RoutingSettings{})
		}
		if err != nil {
			return fmt.Errorf("%s gateway %q not removed: %w", g.Role, id, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("%s gateway %q removed", g.Role, id), Index: done.Index, Undo: undo + " --role " + g.Role, Object: done,
		})
	})
	return cmd
}
