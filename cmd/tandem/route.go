package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

func (a *app) routeCommand() *cobra.Command {
	return group("route", "Where a call would go", a.routeSimulate())
}

func (a *app) routeSimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "simulate NUMBER", Args: cobra.ExactArgs(1), Short: "Show what would become of a call that is not made",
		Example: "  tandem route simulate 8613800138000 --account acme --caller 442071234567",
	}
	var s client.SimulateRequest
	f := cmd.Flags()
	f.StringVar(&s.Account, "account", "", "whose call it is: the first mapping gateway of this account")
	f.StringVar(&s.Source, "from", "", "whose call it is: the address that the INVITE comes from")
	f.StringVar(&s.Ingress, "ingress", "", "whose call it is: this mapping gateway")
	f.StringVar(&s.Caller, "caller", "", "the caller's number")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		if s.Account == "" && s.Source == "" && s.Ingress == "" {
			return badUsage("whose call is it? --account, --from or --ingress")
		}
		s.Callee = args[0]
		sim, _, err := c.Simulate(ctx, s)
		if err != nil {
			return err
		}
		p := a.printer()
		if p.Format != render.Table {
			return render.Object(p, sim, []render.Column[client.Simulation]{
				col("CODE", func(s client.Simulation) any { return s.Code }),
				col("ACCOUNT", func(s client.Simulation) any { return s.Account }),
				col("CALLEE", func(s client.Simulation) any { return s.Callee }),
			})
		}
		if _, err := fmt.Fprint(a.out, simulated(p, sim)); err != nil {
			return err
		}
		tried := candidates(sim)
		if len(tried) == 0 {
			return nil
		}
		return render.List(p, tried, []render.Column[candidate]{
			col("TRY", func(c candidate) any { return c.place }),
			col("GATEWAY", func(c candidate) any { return c.Gateway }),
			col("VENDOR", func(c candidate) any { return c.Vendor }),
			col("PREFIX", func(c candidate) any { return c.Prefix }),
			col("PRI", func(c candidate) any { return c.unless(c.Priority) }),
			col("BUY", func(c candidate) any { return c.unless(c.Cost) }),
			col("CH", func(c candidate) any { return channels(c) }),
			col("SENT CALLEE", func(c candidate) any { return c.Callee }),
			col("VERDICT", func(c candidate) any { return c.verdict }),
		})
	})
	return cmd
}

// candidate is a row of the simulation: a gateway that would be tried, or one
// that would not.
type candidate struct {
	client.Candidate
	place, verdict string
}

func candidates(sim client.Simulation) []candidate {
	var out []candidate
	for i, c := range sim.Candidates {
		verdict := "then"
		if i == 0 {
			verdict = "try first"
		}
		out = append(out, candidate{c, fmt.Sprint(i + 1), verdict})
	}
	for _, s := range sim.Skipped {
		out = append(out, candidate{client.Candidate{Gateway: s.Gateway}, "-", "skipped: " + s.Reason})
	}
	return out
}

// unless leaves a value out of the row of a gateway that would not be tried.
func (c candidate) unless(v any) any {
	if c.place == "-" {
		return nil
	}
	return v
}

func channels(c candidate) any {
	switch {
	case c.place == "-":
		return nil
	case c.MaxCalls == 0:
		return fmt.Sprint(c.Live)
	}
	return fmt.Sprintf("%d/%d", c.Live, c.MaxCalls)
}

// simulated prints the decision chain above the candidates.
func simulated(p render.Printer, s client.Simulation) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	if s.Account != "" {
		line("account", "%s through %s, %s %s available", s.Account, s.Ingress, p.Text(s.Available), s.Currency)
	}
	if s.Callee != "" {
		line("numbers", "%s calls %s", cmp.Or(s.Caller, "anonymous"), s.Callee)
	}
	if r := s.Rate; r != nil {
		line("sell", "%s %q  table %s version %d  %s %s/min  %d/%d  -> funds for %s, first slice %s", r.Prefix, r.Area, r.Table, r.Version,
			r.Price, s.Currency, int(r.First.Duration().Seconds()), int(r.Next.Duration().Seconds()), p.Text(s.Affords), p.Text(s.Slice))
		if s.Prepaid != 0 {
			line("packages", "%s of the first slice", p.Text(s.Prepaid))
		}
	}
	verdict := p.Good("the call would be tried")
	if s.Code != "ok" {
		verdict = p.Bad("refused: " + s.Code)
		if s.SIPStatus != 0 {
			verdict += fmt.Sprintf(", SIP %d", s.SIPStatus)
		}
		if s.Detail != "" {
			verdict += " (" + s.Detail + ")"
		}
	}
	line("verdict", "%s", verdict)
	return b.String()
}
