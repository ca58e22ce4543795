package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) paramCommand() *cobra.Command {
	return group("param", "System parameters", a.paramList(), a.paramGet(), a.paramSet())
}

func (a *app) paramList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List system parameters", Args: cobra.NoArgs}
	vos := cmd.Flags().Bool("vos", false, "show VOS3000's defaults beside ours")
	changed := cmd.Flags().Bool("changed", false, "only those that are not at their default")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := c.Parameters(ctx)
		if err != nil {
			return err
		}
		items := list.Items
		if *changed {
			items = nil
			for _, p := range list.Items {
				if p.Changed {
					items = append(items, p)
				}
			}
		}
		type P = client.Parameter
		columns := []render.Column[P]{
			col("NAME", func(p P) any { return p.Name }),
			col("VALUE", func(p P) any { return p.Value }),
			col("DEFAULT", func(p P) any { return p.Default }),
			col("UNIT", func(p P) any { return p.Unit }),
			col("ABOUT", func(p P) any { return p.About }),
		}
		if *vos {
			columns = append(columns[:3:3], append([]render.Column[P]{col("VOS", func(p P) any { return p.Vendor })}, columns[3:]...)...)
		}
		return render.List(a.printer(), items, columns)
	})
	return cmd
}

func (a *app) paramGet() *cobra.Command {
	cmd := &cobra.Command{Use: "get NAME", Short: "Show a system parameter by its name or an alias", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		p, _, err := c.Parameter(ctx, args[0])
		if err != nil {
			return err
		}
		type P = client.Parameter
		return render.Object(a.printer(), p, []render.Column[P]{
			col("NAME", func(p P) any { return p.Name }),
			col("VALUE", func(p P) any { return p.Value }),
			col("DEFAULT", func(p P) any { return p.Default }),
			col("VOS", func(p P) any { return p.Vendor }),
			col("UNIT", func(p P) any { return p.Unit }),
			col("RANGE", func(p P) any { return p.Range }),
			col("GROUP", func(p P) any { return p.Group }),
			col("ALIASES", func(p P) any { return p.Aliases }),
			col("NOT READ YET", func(p P) any { return p.Pending }),
			col("ABOUT", func(p P) any { return p.About }),
		})
	})
	return cmd
}

func (a *app) paramSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME VALUE", Short: "Change a system parameter", Args: cobra.ExactArgs(2)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		old, _, err := c.Parameter(ctx, args[0])
		if err != nil {
			return fmt.Errorf("parameter %s not set: %w", args[0], err)
		}
		if old.Value == args[1] {
			return a.unchanged("parameter %s", old.Name)
		}
		p, r, err := c.SetParameter(ctx, args[0], args[1])
		if err != nil {
			return fmt.Errorf("parameter %s not set: %w", args[0], err)
		}
		return a.changed(change{
			What: "parameter " + p.Name + " set", Index: r.Index, Object: p,
			Changes: []settings.Change{{Name: p.Name, Old: old.Value, New: p.Value}},
			Undo:    fmt.Sprintf("tandem param set %s %s", p.Name, settings.Quote(old.Value)),
		})
	})
	return cmd
}
