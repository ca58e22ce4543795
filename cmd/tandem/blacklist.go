package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

// whitelist is the number list that stands above every blacklist.
const whitelist = "whitelist"

func (a *app) blacklistCommand() *cobra.Command {
	c := group("blacklist", "Numbers that the cluster refuses, and why", a.blacklistList(), a.blacklistAdd(), a.blacklistRemove(), a.blacklistWhy())
	c.Aliases = []string{"bl"}
	return c
}

func (a *app) blacklistList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List blocked numbers", Args: cobra.NoArgs}
	list := cmd.Flags().String("list", "", "malicious, no-answer or concurrent; none: all")
	account := cmd.Flags().String("account", "", "entries of this ingress account")
	limit := cmd.Flags().Int("limit", 100, "most entries; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		q := client.BlockQuery{Page: page(*limit), List: *list, Account: *account}
		items, err := collect(*limit, client.Each(ctx, q, c.Blocks))
		if err != nil {
			return err
		}
		type B = client.Block
		return listing(a, items, *limit, []render.Column[B]{
			col("NUMBER", func(b B) any { return b.Number }),
			col("LIST", func(b B) any { return b.List }),
			col("SCOPE", func(b B) any { return b.Scope }),
			col("ACCOUNT", func(b B) any { return b.Account }),
			col("UNTIL", func(b B) any { return until(b) }),
			col("COUNT", func(b B) any { return orNone(uint64(b.Count)) }),
			col("LIMIT", func(b B) any { return orNone(uint64(b.Limit)) }),
			col("WINDOW", func(b B) any { return orNothing(b.Window) }),
			col("NODE", func(b B) any { return b.Node }),
			col("HITS", func(b B) any { return b.Hits }),
			col("MANUAL", func(b B) any { return b.Manual }),
			col("MEMO", func(b B) any { return b.Memo }),
		})
	})
	return cmd
}

func until(b client.Block) any {
	if b.Until.IsZero() {
		return "removed by hand"
	}
	return b.Until
}

func (a *app) blacklistAdd() *cobra.Command {
	cmd := &cobra.Command{Use: "add NUMBER", Short: "Block a number, or with --allow never block it", Args: cobra.ExactArgs(1)}
	settings.Bind(cmd.Flags(), client.BlockSettings{})
	allow := cmd.Flags().Bool("allow", false, "put the number on the white list, which stands above every blacklist")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		number := args[0]
		if *allow {
			return a.allow(ctx, c, number)
		}
		var s client.BlockSettings
		if err := settings.Apply(cmd.Flags(), &s); err != nil {
			return usage(err)
		}
		block, r, err := c.PutBlock(ctx, number, s)
		if err != nil {
			return fmt.Errorf("%s not blocked: %w", number, err)
		}
		what := fmt.Sprintf("%s blocked until removed (%s)", block.Number, block.List)
		if !block.Until.IsZero() {
			what = fmt.Sprintf("%s blocked until %s (%s)", block.Number, a.printer().Time(block.Until), block.List)
		}
		return a.changed(change{
			What: what, Index: r.Index, Object: block,
			Undo: fmt.Sprintf("tandem blacklist rm %s --list %s", settings.Quote(block.Number), block.List),
		})
	})
	return cmd
}

// allow adds a number to the white list.
func (a *app) allow(ctx context.Context, c *client.Client, number string) error {
	list, _, err := c.NumberList(ctx, whitelist)
	if _, err := notFound(err, true); err != nil {
		return err
	}
	if slices.Contains(list.Numbers, number) {
		return a.unchanged("%s is on the white list", number)
	}
	numbers := append(slices.Clone(list.Numbers), number)
	changed, r, err := c.PutNumberList(ctx, whitelist, client.NumberListSettings{Numbers: numbers, Memo: list.Memo})
	if err != nil {
		return fmt.Errorf("%s not put on the white list: %w", number, err)
	}
	return a.changed(change{
		What: fmt.Sprintf("%s is on the white list now, one of %s", number, count(len(changed.Numbers), "number")), Index: r.Index,
		Undo: fmt.Sprintf("tandem blacklist rm %s --allow", settings.Quote(number)), Object: changed,
	})
}

func (a *app) blacklistRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm NUMBER", Short: "Unblock a number, or with --allow take it off the white list", Args: cobra.ExactArgs(1)}
	list := cmd.Flags().String("list", "", "malicious, no-answer or concurrent; none: all of them")
	scope := cmd.Flags().String("scope", "", "routing gateway whose own blacklist is meant; needs --list")
	allow := cmd.Flags().Bool("allow", false, "take the number off the white list")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		number := args[0]
		if *allow {
			return a.disallow(ctx, c, number)
		}
		done, err := c.DeleteBlock(ctx, number, *list, *scope)
		if err != nil {
			return fmt.Errorf("%s not unblocked: %w", number, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("%s unblocked, %s of it removed", number, count(max(done.Count, 1), "block")), Index: done.Index,
			Undo: fmt.Sprintf("tandem blacklist add %s", settings.Quote(number)), Object: done,
		})
	})
	return cmd
}

// disallow takes a number off the white list.
func (a *app) disallow(ctx context.Context, c *client.Client, number string) error {
	list, _, err := c.NumberList(ctx, whitelist)
	if _, err := notFound(err, true); err != nil {
		return err
	}
	at := slices.Index(list.Numbers, number)
	if at < 0 {
		return a.unchanged("%s is not on the white list", number)
	}
	numbers := slices.Delete(slices.Clone(list.Numbers), at, at+1)
	changed, r, err := c.PutNumberList(ctx, whitelist, client.NumberListSettings{Numbers: numbers, Memo: list.Memo})
	if err != nil {
		return fmt.Errorf("%s not taken off the white list: %w", number, err)
	}
	return a.changed(change{
		What: fmt.Sprintf("%s is off the white list, %s left", number, count(len(changed.Numbers), "number")), Index: r.Index,
		Undo: fmt.Sprintf("tandem blacklist add %s --allow", settings.Quote(number)), Object: changed,
	})
}

func (a *app) blacklistWhy() *cobra.Command {
	cmd := &cobra.Command{Use: "why NUMBER", Short: "Show why a number is blocked, with the evidence", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		list, err := c.WhyBlocked(ctx, args[0])
		if _, err := notFound(err, true); err != nil {
			return err
		}
		p := a.printer()
		if p.Format != render.Table {
			return render.List(p, list.Items, []render.Column[client.Block]{
				col("NUMBER", func(b client.Block) any { return b.Number }),
				col("LIST", func(b client.Block) any { return b.List }),
				col("UNTIL", func(b client.Block) any { return b.Until }),
			})
		}
		if len(list.Items) == 0 {
			return a.say("%s is not blocked\n", args[0])
		}
		for _, b := range list.Items {
			if err := a.say("%s", evidence(p, b)); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// evidence tells the story of an entry.
func evidence(p render.Printer, b client.Block) string {
	where := "everywhere"
	if b.Scope != "" {
		where = "towards gateway " + b.Scope
	}
	if b.Account != "" {
		where += " for calls of account " + b.Account
	}
	end := "until it is removed"
	if !b.Until.IsZero() {
		end = "until " + p.Time(b.Until)
	}
	text := fmt.Sprintf("%s  blocked %s %s (list %s), since %s\n", b.Number, where, end, b.List, p.Time(b.Since))
	if b.Manual {
		text += " added by hand"
		if b.Memo != "" {
			text += ": " + b.Memo
		}
		text += "\n"
	} else {
		text += fmt.Sprintf(" %d calls in %s (limit %d), the last on %s at %s", b.Count, p.Text(b.Window), b.Limit, b.Node, p.Time(b.LastCall))
		if b.Sample != "" {
			text += ", with " + b.Sample
		}
		text += "\n"
	}
	return text + fmt.Sprintf(" %d calls refused by it\n undo: tandem blacklist rm %s        never again: tandem blacklist add %s --allow\n",
		b.Hits, settings.Quote(b.Number), settings.Quote(b.Number))
}
