package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) packageCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List packages", Args: cobra.NoArgs}
	list.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		items, err := collect(0, client.Each(ctx, client.PackageQuery{Page: page(0)}, c.Packages))
		if err != nil {
			return err
		}
		return render.List(a.printer(), items, packageColumns())
	})
	show := &cobra.Command{Use: "show ID", Short: "Show a package", Args: cobra.ExactArgs(1)}
	show.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		p, _, err := c.Package(ctx, args[0])
		if err != nil {
			return err
		}
		return render.Object(a.printer(), p, packageColumns())
	})
	return group("package", "Talk that accounts buy ahead", list, show, a.packageEdit("create", true), a.packageEdit("set", false),
		a.packageBuy(), a.packageBought(), a.packageRemove())
}

func packageColumns() []render.Column[client.Package] {
	type P = client.Package
	return []render.Column[P]{
		col("ID", func(p P) any { return p.ID }),
		col("NAME", func(p P) any { return p.Name }),
		col("CUR", func(p P) any { return p.Currency }),
		col("PRICE", func(p P) any { return p.Price }),
		col("TALK", func(p P) any { return p.Time }),
		col("PREFIXES", func(p P) any { return p.Prefixes }),
		col("VALIDITY", func(p P) any { return orNothing(p.Validity) }),
		col("PRIORITY", func(p P) any { return int64(p.Priority) }),
	}
}

// packageEdit creates a package or changes settings of one.
func (a *app) packageEdit(use string, create bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: "Change settings of a package; what was bought stays", Args: cobra.ExactArgs(1)}
	if create {
		cmd.Short = "Create a package"
	}
	settings.Bind(cmd.Flags(), client.PackageSettings{})
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		old, _, err := c.Package(ctx, id)
		missing, err := notFound(err, create)
		switch {
		case err != nil:
			return fmt.Errorf("package %q not changed: %w", id, err)
		case create && !missing:
			return exists("package", id, "tandem package set "+settings.Quote(id))
		}
		next := old.PackageSettings
		if err := settings.Apply(cmd.Flags(), &next); err != nil {
			return usage(err)
		}
		if next.Currency == "" {
			return badUsage("which currency? --currency USD")
		}
		if next.Time == 0 {
			return badUsage("how much talk? --time 100m")
		}
		if len(settings.Diff(old.PackageSettings, next)) == 0 {
			return a.unchanged("package %q", id)
		}
		made, r, err := c.PutPackage(ctx, id, next)
		if err != nil {
			return fmt.Errorf("package %q not written: %w", id, err)
		}
		return a.changed(edited("package", id, "tandem package", "", old.PackageSettings, made.PackageSettings, missing, r, made))
	})
	return cmd
}

// packageBuy charges an account for a package.
func (a *app) packageBuy() *cobra.Command {
	cmd := &cobra.Command{Use: "buy ACCOUNT PACKAGE", Short: "Buy a package for an account", Args: cobra.ExactArgs(2)}
	memo := cmd.Flags().String("memo", "", "for the ledger")
	key := cmd.Flags().String("key", "", "buys once, however often the command is repeated")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		account, id := args[0], args[1]
		bought, err := c.BuyPackage(ctx, account, client.Buy{Package: id, Memo: *memo}, *key)
		if err != nil {
			return fmt.Errorf("package %q not bought for account %q: %w", id, account, err)
		}
		return a.changed(change{
			What:  fmt.Sprintf("package %q bought for account %q as purchase %d", id, account, bought.Purchase),
			Index: bought.Index, Object: bought,
		})
	})
	return cmd
}

func (a *app) packageBought() *cobra.Command {
	cmd := &cobra.Command{Use: "bought ACCOUNT", Short: "List what an account has bought, in the order of use", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		list, err := c.Purchases(ctx, args[0])
		if err != nil {
			return err
		}
		type P = client.Purchase
		return render.List(a.printer(), list.Items, []render.Column[P]{
			col("PURCHASE", func(p P) any { return p.ID }),
			col("PACKAGE", func(p P) any { return p.Package }),
			col("LEFT", func(p P) any { return p.Left }),
			col("HELD", func(p P) any { return p.Held }),
			col("PREFIXES", func(p P) any { return p.Prefixes }),
			col("BOUGHT", func(p P) any { return p.BoughtAt }),
			col("VALID TILL", func(p P) any { return p.ValidTill }),
		})
	})
	return cmd
}

func (a *app) packageRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm ID", Short: "Remove a package; what was bought stays", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		if !a.flags.yes {
			return refused(fmt.Sprintf("remove package %q", id), "nobody can buy it then; what accounts have bought stays")
		}
		old, _, err := c.Package(ctx, id)
		if err != nil {
			return fmt.Errorf("package %q not removed: %w", id, err)
		}
		done, err := c.DeletePackage(ctx, id)
		if err != nil {
			return fmt.Errorf("package %q not removed: %w", id, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("package %q removed", id), Index: done.Index,
			Undo: recreate("package", id, old.PackageSettings, client.PackageSettings{}), Object: done,
		})
	})
	return cmd
}
