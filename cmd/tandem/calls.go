package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

func (a *app) callsCommand() *cobra.Command {
	return group("calls", "Live calls", a.callsList(), a.callsShow(), a.callsCount(), a.callsTrace(), a.callsKill())
}

// callQuery adds the flags that select live calls.
func callQuery(cmd *cobra.Command) *client.CallQuery {
	q := new(client.CallQuery)
	f := cmd.Flags()
	f.StringVar(&q.Account, "account", "", "of this account")
	f.StringVar(&q.Gateway, "gateway", "", "through this gateway")
	f.StringVar(&q.Node, "node", "", "owned by this node")
	f.StringVar(&q.Number, "number", "", "of or to this number")
	f.StringVar(&q.State, "state", "", "starting, ringing or answered")
	return q
}

func callColumns() []render.Column[client.Call] {
	type C = client.Call
	return []render.Column[C]{
		col("ID", func(c C) any { return c.ID }),
		col("STATE", func(c C) any { return c.State }),
		col("NODE", func(c C) any { return c.Node }),
		col("ACCOUNT", func(c C) any { return c.Account }),
		col("CALLER", func(c C) any { return c.Caller }),
		col("CALLEE", func(c C) any { return c.Callee }),
		col("INGRESS", func(c C) any { return c.Ingress }),
		col("EGRESS", func(c C) any { return c.Egress }),
		col("TALK", func(c C) any { return c.Duration }),
		col("COST", func(c C) any { return c.Cost }),
		col("HELD", func(c C) any { return c.Held }),
		col("CUR", func(c C) any { return c.Currency }),
		col("SILENT", func(c C) any { return c.Silent }),
	}
}

func (a *app) callsList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List live calls", Args: cobra.NoArgs}
	q := callQuery(cmd)
	limit := cmd.Flags().Int("limit", 100, "most calls; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		q.Page = page(*limit)
		items, err := collect(*limit, client.Each(ctx, *q, c.Calls))
		if err != nil {
			return err
		}
		return listing(a, items, *limit, callColumns())
	})
	return cmd
}

func (a *app) callsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a live call", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		call, _, err := c.Call(ctx, args[0])
		if err != nil {
			return err
		}
		type C = client.Call
		return render.Object(a.printer(), call, append(callColumns(),
			col("PRICE", func(c C) any { return c.Price }),
			col("PREFIX", func(c C) any { return c.Prefix }),
			col("AREA", func(c C) any { return c.Area }),
			col("GRANTED", func(c C) any { return c.Granted }),
			col("STARTED", func(c C) any { return c.Started }),
			col("RINGING", func(c C) any { return c.Ringing }),
			col("ANSWERED", func(c C) any { return c.Answered }),
			col("SOURCE", func(c C) any { return c.Source }),
			col("CODEC", func(c C) any { return c.Codec }),
			col("RAW CALLER", func(c C) any { return c.RawCaller }),
			col("RAW CALLEE", func(c C) any { return c.RawCallee }),
			col("SIP CALL-ID", func(c C) any { return c.SIPCallID }),
			col("EPOCH", func(c C) any { return c.Epoch }),
		))
	})
	return cmd
}

// callCount is how many live calls a node owns.
type callCount struct {
	Node  string `json:"node"`
	Calls int    `json:"calls"`
}

func (a *app) callsCount() *cobra.Command {
	cmd := &cobra.Command{Use: "count", Short: "Count live calls by node", Args: cobra.NoArgs}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		members, err := c.Members(ctx)
		if err != nil {
			return err
		}
		var items []callCount
		total := callCount{Node: "all"}
		for _, m := range members.Items {
			items = append(items, callCount{m.Node, m.Calls})
			total.Calls += m.Calls
		}
		return render.List(a.printer(), append(items, total), []render.Column[callCount]{
			col("NODE", func(c callCount) any { return c.Node }),
			col("CALLS", func(c callCount) any { return c.Calls }),
		})
	})
	return cmd
}

func (a *app) callsKill() *cobra.Command {
	cmd := &cobra.Command{Use: "kill ID", Short: "End a live call", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		if !a.flags.yes {
			return refused("end call "+id, "both sides get a BYE and the talk time is charged; it cannot be undone")
		}
		ended, err := c.EndCall(ctx, id)
		if err != nil {
			return fmt.Errorf("call %s not ended: %w", id, err)
		}
		undo := ""
		if ended.CDR != 0 {
			undo = fmt.Sprintf("not possible; see tandem cdr show %d", ended.CDR)
		}
		return a.changed(change{What: fmt.Sprintf("call %s ended, charged %s", id, ended.Fee), Index: ended.Index, Undo: undo, Object: ended})
	})
	return cmd
}

func parseSeq(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, badUsage("%q is no sequence of a CDR: want a number from 1", s)
	}
	return n, nil
}

func (a *app) callsTrace() *cobra.Command {
	cmd := &cobra.Command{
		Use: "trace ID", Short: "Show the SIP messages of a call, both legs", Args: cobra.ExactArgs(1),
		Long: "Show the SIP messages of a live call, or of a CDR, as a ladder.\n\n" +
			"Nodes keep the newest messages in memory, for some minutes.",
	}
	full := cmd.Flags().Bool("full", false, "the messages themselves")
	file := cmd.Flags().String("pcap", "", "write a capture file instead")
	cmd.MarkFlagsMutuallyExclusive("full", "pcap")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		form := "ladder"
		switch {
		case *full:
			form = "text"
		case *file != "":
			form = "pcap"
		}
		body, err := c.Trace(ctx, args[0], form)
		if err != nil {
			return err
		}
		if *file == "" {
			_, err = a.out.Write(body)
			return err
		}
		if err := os.WriteFile(*file, body, 0o600); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
		return nil
	})
	return cmd
}
