package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

func (a *app) cdrCommand() *cobra.Command {
	return group("cdr", "Call detail records", a.cdrSearch(), a.cdrShow())
}

func cdrColumns() []render.Column[client.CDR] {
	type R = client.CDR
	return []render.Column[R]{
		col("SEQ", func(r R) any { return r.Seq }),
		col("ENDED", func(r R) any { return r.Ended }),
		col("ACCOUNT", func(r R) any { return r.Account }),
		col("CALLER", func(r R) any { return r.Caller }),
		col("CALLEE", func(r R) any { return r.Callee }),
		col("INGRESS", func(r R) any { return cmp.Or(r.Ingress, r.Source) }), // of a stranger, its address
		col("EGRESS", func(r R) any { return r.Egress }),
		col("DURATION", func(r R) any { return r.Duration }),
		col("BILLED", func(r R) any { return r.Billed }),
		col("FEE", func(r R) any { return r.Fee }),
		col("COST", func(r R) any { return r.Cost }),
		col("CUR", func(r R) any { return r.Currency }),
		col("REASON", func(r R) any { return r.Reason }),
		col("SIP", func(r R) any { return orNone(uint64(r.SIPStatus)) }),
		col("BY", func(r R) any { return r.EndedBy }),
		col("ESTIMATED", func(r R) any { return r.Estimated }),
	}
}

func (a *app) cdrSearch() *cobra.Command {
	cmd := &cobra.Command{
		Use: "search", Args: cobra.NoArgs, Short: "Find records, newest first",
		Example: "  tandem cdr search --account acme --from 24h --answered -o csv > calls.csv",
	}
	var q client.CDRQuery
	f := cmd.Flags()
	from := f.String("from", "", "ended at or after: RFC 3339, a day (2026-11-21) or an age (24h)")
	to := f.String("to", "", "ended before, as --from")
	f.StringVar(&q.Account, "account", "", "client or vendor")
	f.StringVar(&q.Number, "number", "", "caller or callee")
	f.StringVar(&q.Gateway, "gateway", "", "ingress or egress")
	f.StringVar(&q.Reason, "reason", "", "end reason, such as normal or no-money")
	f.BoolVar(&q.Answered, "answered", false, "answered calls only")
	limit := f.Int("limit", 50, "most records; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		now := time.Now()
		var err error
		if q.From, err = a.moment(*from, now); err != nil {
			return badUsage("--from: %v", err)
		}
		if q.To, err = a.moment(*to, now); err != nil {
			return badUsage("--to: %v", err)
		}
		q.Page = page(*limit)
		partial := false
		items, err := collect(*limit, client.Each(ctx, q, func(ctx context.Context, q client.CDRQuery) (client.List[client.CDR], error) {
			list, err := c.CDRs(ctx, q)
			partial = partial || list.Partial
			return list, err
		}))
		if err != nil {
			return err
		}
		if partial {
			fmt.Fprintln(a.errOut, "warning: the node is still filling gaps, records may be missing; ask another one with --addr")
		}
		return listing(a, items, *limit, cdrColumns())
	})
	return cmd
}

// moment reads a time: RFC 3339, a day in the zone that is printed, or an age.
func (a *app) moment(s string, now time.Time) (client.Time, error) {
	if s == "" {
		return client.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil {
		return client.Time{Time: now.Add(-age)}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, a.printer().Zone); err == nil {
		return client.Time{Time: day}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return client.Time{}, fmt.Errorf("%q: want 2026-11-21T10:00:00Z, 2026-11-21 or 24h", s)
	}
	return client.Time{Time: t}, nil
}

func (a *app) cdrShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show SEQ", Short: "Show all of a record", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		seq, err := parseSeq(args[0])
		if err != nil {
			return err
		}
		cdr, _, err := c.CDR(ctx, seq)
		if err != nil {
			return err
		}
		if err := render.Object(a.printer(), cdr, cdrDetails()); err != nil || a.flags.format != render.Table {
			return err
		}
		return a.attempts(cdr.Attempts)
	})
	return cmd
}

func cdrDetails() []render.Column[client.CDR] {
	type R = client.CDR
	rate := func(pick func(R) *client.CallRate) func(R) any {
		return func(r R) any { return rateText(pick(r)) }
	}
	media := func(pick func(R) client.Media) func(R) any {
		return func(r R) any {
			m := pick(r)
			if m.Packets == 0 {
				return nil
			}
			return fmt.Sprintf("%d packets, %d lost, jitter %v", m.Packets, m.Lost, m.Jitter.Duration().Round(time.Microsecond))
		}
	}
	return append(cdrColumns(),
		col("CALL", func(r R) any { return r.Call }),
		col("STARTED", func(r R) any { return r.Started }),
		col("RINGING", func(r R) any { return r.Ringing }),
		col("ANSWERED", func(r R) any { return r.Answered }),
		col("PDD", func(r R) any { return orNothing(r.PDD) }),
		col("RATE", rate(func(r R) *client.CallRate { return r.Rate })),
		col("COST RATE", rate(func(r R) *client.CallRate { return r.CostRate })),
		col("VENDOR", func(r R) any { return r.Vendor }),
		col("SOURCE", func(r R) any { return r.Source }),
		col("SENT TO", func(r R) any { return r.EgressAddr }),
		col("CALL-ID A", func(r R) any { return r.SIPCallIDA }),
		col("CALL-ID B", func(r R) any { return r.SIPCallIDB }),
		col("RAW CALLER", func(r R) any { return r.RawCaller }),
		col("RAW CALLEE", func(r R) any { return r.RawCallee }),
		col("SENT CALLER", func(r R) any { return r.SentCaller }),
		col("SENT CALLEE", func(r R) any { return r.SentCallee }),
		col("CODEC", func(r R) any { return r.Codec }),
		col("FROM CALLER", media(func(r R) client.Media { return r.MediaA })),
		col("FROM CALLEE", media(func(r R) client.Media { return r.MediaB })),
		col("PACKAGES", func(r R) any { return packagesText(r.Packages) }),
		col("HELD", func(r R) any { return r.Held }),
		col("OVER GRANT", func(r R) any { return orNothing(r.OverGrant) }),
		col("STANDS FOR", func(r R) any { return orNone(uint64(r.Aggregate)) }),
		col("AMENDS", func(r R) any { return orNone(r.Amends) }),
		col("TRANSFERS", func(r R) any { return transfers(r) }),
		col("NODE", func(r R) any { return r.Node }),
		col("INDEX", func(r R) any { return r.Index }),
		col("DETAIL", func(r R) any { return r.Detail }),
	)
}

// rateText is what a call was priced by.
func rateText(r *client.CallRate) any {
	if r == nil {
		return nil
	}
	text := fmt.Sprintf("%s/min for %s", r.Price, cmp.Or(r.Prefix, "all"))
	if r.Area != "" {
		text += fmt.Sprintf(" %q", r.Area)
	}
	text += fmt.Sprintf(", %d/%d", int(r.First.Duration().Seconds()), int(r.Next.Duration().Seconds()))
	if r.ConnectFee != 0 {
		text += fmt.Sprintf(", connect fee %s", r.ConnectFee)
	}
	if r.Table != "" {
		text += fmt.Sprintf(", table %s version %d", r.Table, r.Version)
	}
	if r.Unrounded != "" {
		text += fmt.Sprintf(", %s before rounding", r.Unrounded)
	}
	return text
}

func transfers(r client.CDR) any {
	if r.ChargeSeq == 0 && r.CostSeq == 0 {
		return nil
	}
	return fmt.Sprintf("charge %d, cost %d", r.ChargeSeq, r.CostSeq)
}

// attempts prints which gateways were tried.
func (a *app) attempts(list []client.Attempt) error {
	if len(list) == 0 {
		return nil
	}
	if err := a.say("attempts\n"); err != nil {
		return err
	}
	type A = client.Attempt
	return render.List(a.printer(), list, []render.Column[A]{
		col("GATEWAY", func(t A) any { return t.Gateway }),
		col("ADDRESS", func(t A) any { return t.Address }),
		col("CALLER", func(t A) any { return t.Caller }),
		col("CALLEE", func(t A) any { return t.Callee }),
		col("AFTER", func(t A) any { return t.Start }),
		col("PDD", func(t A) any { return orNothing(t.PDD) }),
		col("SIP", func(t A) any { return orNone(uint64(t.Status)) }),
		col("Q.850", func(t A) any { return orNone(uint64(t.Q850)) }),
		col("SKIPPED", func(t A) any { return t.Skipped }),
	})
}

// packagesText says what packages paid for.
func packagesText(uses []client.PackageUse) string {
	var texts []string
	for _, u := range uses {
		texts = append(texts, fmt.Sprintf("%v of %s (purchase %d)", u.Time.Duration(), u.Package, u.Purchase))
	}
	return strings.Join(texts, ", ")
}
