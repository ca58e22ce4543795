package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) rateCommand() *cobra.Command {
	table := group("table", "Rate tables", a.rateTableList(), a.rateTableShow(), a.rateTableCreate(), a.rateTableRemove())
	return group("rate", "What calls cost", table, a.rateList(), a.rateGet(), a.rateImport(), a.rateExport())
}

func rateTableColumns() []render.Column[client.RateTable] {
	type T = client.RateTable
	return []render.Column[T]{
		col("ID", func(t T) any { return t.ID }),
		col("CUR", func(t T) any { return t.Currency }),
		col("RATES", func(t T) any { return t.Rows }),
		col("VERSION", func(t T) any { return orNone(t.Version) }),
		col("PREVIOUS", func(t T) any { return orNone(t.Previous) }),
		col("FEE DECIMALS", func(t T) any {
			if t.Rounding == nil {
				return nil
			}
			return uint32(t.Rounding.Decimals)
		}),
		col("ROUNDING", func(t T) any {
			if t.Rounding == nil {
				return nil
			}
			return t.Rounding.Mode
		}),
	}
}

func (a *app) rateTableList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List rate tables", Args: cobra.NoArgs}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		items, err := collect(0, client.Each(ctx, client.RateTableQuery{Page: page(0)}, c.RateTables))
		if err != nil {
			return err
		}
		return render.List(a.printer(), items, rateTableColumns())
	})
	return cmd
}

func (a *app) rateTableShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a rate table", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		t, _, err := c.RateTable(ctx, args[0])
		if err != nil {
			return err
		}
		return render.Object(a.printer(), t, rateTableColumns())
	})
	return cmd
}

func (a *app) rateTableCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create ID", Short: "Create a rate table", Args: cobra.ExactArgs(1)}
	currency := cmd.Flags().String("currency", "", "ISO 4217, such as USD")
	decimals := cmd.Flags().Uint8("decimals", 6, "of fees, 0 to 6")
	mode := cmd.Flags().String("rounding", "half-up", "of fees: half-up, up, down or half-even")
	hold := cmd.Flags().Uint16("hold-threshold", 50, "ms from which a started second counts; 0: any")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		_, _, err := c.RateTable(ctx, id)
		switch missing, err := notFound(err, true); {
		case err != nil:
			return err
		case !missing:
			return exists("rate table", id, "tandem rate import FILE.csv --table "+settings.Quote(id))
		}
		s := client.RateTableSettings{Currency: *currency}
		if f := cmd.Flags(); f.Changed("decimals") || f.Changed("rounding") || f.Changed("hold-threshold") {
			s.Rounding = &client.Rounding{HoldThreshold: *hold, Decimals: *decimals, Mode: *mode}
		}
		t, r, err := c.PutRateTable(ctx, id, s)
		if err != nil {
			return fmt.Errorf("rate table %q not created: %w", id, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("rate table %q created", id), Index: r.Index, Object: t,
			Undo: "tandem rate table rm " + settings.Quote(id) + " --yes",
		})
	})
	return cmd
}

func (a *app) rateTableRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm ID", Short: "Remove a rate table that nobody uses", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		if !a.flags.yes {
			return refused(fmt.Sprintf("remove rate table %q", id), "its rates are gone then; keep them with: tandem rate export --table "+settings.Quote(id))
		}
		done, err := c.DeleteRateTable(ctx, id)
		if err != nil {
			return fmt.Errorf("rate table %q not removed: %w", id, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("rate table %q removed", id), Index: done.Index, Object: done,
			Undo: "tandem rate table create " + settings.Quote(id) + ", then tandem rate import of an exported file",
		})
	})
	return cmd
}

func rateColumns() []render.Column[client.Rate] {
	type R = client.Rate
	return []render.Column[R]{
		col("PREFIX", func(r R) any { return r.Prefix }),
		col("AREA", func(r R) any { return r.Area }),
		col("PRICE", func(r R) any { return r.Price }),
		col("CONNECT FEE", func(r R) any { return r.ConnectFee }),
		col("FIRST", func(r R) any { return uint32(r.First) }),
		col("NEXT", func(r R) any { return uint32(r.Next) }),
		col("MINIMUM", func(r R) any { return uint32(r.Minimum) }),
		col("FREE", func(r R) any { return uint32(r.Free) }),
	}
}

// tableFlag adds --table, which has to be given.
func tableFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("table", "", "rate table")
}

// needTable refuses a command without --table.
func needTable(table string) error {
	if table == "" {
		return badUsage("which rate table? --table ID")
	}
	return nil
}

func (a *app) rateList() *cobra.Command {
	cmd := &cobra.Command{Use: "list TABLE", Short: "List the rates in force", Args: cobra.MaximumNArgs(1)}
	table := tableFlag(cmd)
	prefix := cmd.Flags().String("prefix", "", "rates of this prefix and of longer ones")
	limit := cmd.Flags().Int("limit", 100, "most rates; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		if len(args) == 1 {
			*table = args[0]
		}
		if err := needTable(*table); err != nil {
			return err
		}
		q := client.RateQuery{Page: page(*limit), Table: *table, Prefix: *prefix}
		items, err := collect(*limit, client.Each(ctx, q, c.Rates))
		if err != nil {
			return err
		}
		return listing(a, items, *limit, rateColumns())
	})
	return cmd
}

func (a *app) rateGet() *cobra.Command {
	cmd := &cobra.Command{Use: "get NUMBER", Short: "Show the rate that prices a number", Args: cobra.ExactArgs(1)}
	table := tableFlag(cmd)
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		if err := needTable(*table); err != nil {
			return err
		}
		rate, _, err := c.RateOf(ctx, *table, args[0])
		if err != nil {
			return err
		}
		return render.Object(a.printer(), rate, rateColumns())
	})
	return cmd
}

func (a *app) rateImport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE.csv", Args: cobra.ExactArgs(1), Short: "Replace all rates of a table by those of a file",
		Long: "Replaces all rates of a table at once, or changes nothing when a row is wrong.\n" +
			"The first line names the columns: prefix and price are needed; area, connect_fee,\n" +
			"first, next, minimum and free may be missing. \"-\" reads standard input.",
	}
	table := tableFlag(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "check and compare only")
	key := cmd.Flags().String("key", "", "imports once, however often the command is repeated")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		if err := needTable(*table); err != nil {
			return err
		}
		file := args[0]
		csv, err := a.read(file)
		if err != nil {
			return err
		}
		before, _, err := c.RateTable(ctx, *table)
		if err != nil {
			return fmt.Errorf("rate file %s not imported: %w", file, err)
		}
		done, err := c.ImportRates(ctx, *table, csv, *key, *dryRun)
		if err != nil {
			return notImported(file, err)
		}
		what := fmt.Sprintf("rate table %q: %d rates, %d new, %d gone, %d raised, %d lowered",
			*table, done.Rows, done.Added, done.Removed, done.Raised, done.Lowered)
		if *dryRun {
			return a.say("%s (dry run, nothing was changed)\n", what)
		}
		undo := ""
		if before.Version != 0 {
			undo = fmt.Sprintf("import the rates of before again: version %d had %d", before.Version, before.Rows)
		}
		return a.changed(change{What: what + fmt.Sprintf(", version %d", done.Version), Index: done.Index, Undo: undo, Object: done})
	})
	return cmd
}

// notImported says how many rows are wrong, and that nothing was changed.
func notImported(file string, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || len(p.Errors) == 0 {
		return fmt.Errorf("rate file %s not imported: %w", file, err)
	}
	f := explainProblem(err, p)
	rows := map[int]bool{}
	for _, e := range p.Errors {
		rows[e.Row] = true
	}
	f.What = fmt.Sprintf("rate file %s not imported: %s wrong (nothing was changed)", file, count(len(rows), "row"))
	if f.Why == "" {
		f.Why = p.Detail
	}
	f.Next = cmp.Or(f.Next, "correct the rows, then try it with --dry-run")
	return f
}

// read reads a file, or standard input for "-".
func (a *app) read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(a.in)
	}
	return os.ReadFile(file)
}

func (a *app) rateExport() *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Print the rates in force as CSV", Args: cobra.NoArgs}
	table := tableFlag(cmd)
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := needTable(*table); err != nil {
			return err
		}
		csv, _, err := c.ExportRates(ctx, *table)
		if err != nil {
			return err
		}
		_, err = a.out.Write(csv)
		return err
	})
	return cmd
}
