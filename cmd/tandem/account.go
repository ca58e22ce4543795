package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/billing"
	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) accountCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List accounts", Args: cobra.NoArgs}
	list.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		items, err := collect(0, client.Each(ctx, client.AccountQuery{Page: page(0)}, c.Accounts))
		if err != nil {
			return err
		}
		return render.List(a.printer(), items, accountColumns())
	})
	show := &cobra.Command{Use: "show ID", Short: "Show an account", Args: cobra.ExactArgs(1)}
	show.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		account, _, err := c.Account(ctx, args[0])
		if err != nil {
			return err
		}
		return render.Object(a.printer(), account, accountDetails())
	})
	return group("account", "Customers' and vendors' accounts", list, show,
		a.accountEdit("create", true), a.accountEdit("set", false),
		a.accountPay("topup", "Pay money into an account"), a.accountPay("adjust", "Correct an account's balance"),
		a.accountLock("lock", true), a.accountLock("unlock", false), a.accountLedger(), a.accountRemove())
}

func accountColumns() []render.Column[client.Account] {
	type A = client.Account
	return []render.Column[A]{
		col("ID", func(a A) any { return a.ID }),
		col("TYPE", func(a A) any { return a.Type }),
		col("CUR", func(a A) any { return a.Currency }),
		col("BALANCE", func(a A) any { return a.Balance }),
		col("CREDIT", func(a A) any { return a.Credit }),
		col("HELD", func(a A) any { return a.Held }),
		col("AVAILABLE", func(a A) any { return a.Available }),
		col("RATE TABLE", func(a A) any { return a.RateTable }),
		col("CALLS", func(a A) any { return a.Live }),
		col("LOCKED", func(a A) any { return a.Locked }),
	}
}

func accountDetails() []render.Column[client.Account] {
	type A = client.Account
	return append(accountColumns(),
		col("NAME", func(a A) any { return a.Name }),
		col("ALLOW DEBT", func(a A) any { return a.AllowDebt }),
		col("EXPIRY", func(a A) any { return a.Expiry }),
		col("ACCESS IPS", func(a A) any { return a.AccessIPs }),
		col("MAX CALLS", func(a A) any { return orNone(uint64(a.MaxCalls)) }),
		col("MAX CPS", func(a A) any { return orNone(uint64(a.MaxCPS)) }),
		col("MAX DURATION", func(a A) any { return orNothing(a.MaxDuration) }),
		col("MAX SPEND", func(a A) any { return noMoney(a.MaxSpend) }),
		col("SPENT TODAY", func(a A) any { return a.Spent }),
		col("ADVANCE", func(a A) any { return orNothing(a.Advance) }),
		col("ALLOW CALLEE", func(a A) any { return a.AllowCallee }),
		col("BLOCK CALLEE", func(a A) any { return a.BlockCallee }),
		col("LOW BALANCE", func(a A) any { return noMoney(a.LowBalance) }),
		col("CALLS EVER", func(a A) any { return a.CallsTotal }),
		col("CREATED", func(a A) any { return a.Created }),
	)
}

// orNothing leaves a length of time out when there is none.
func orNothing(s client.Seconds) any {
	if s == 0 {
		return nil
	}
	return s
}

// noMoney leaves an amount out when there is none.
func noMoney(m billing.Amount) any {
	if m == 0 {
		return nil
	}
	return m
}

// accountEdit creates an account or changes settings of one.
func (a *app) accountEdit(use string, create bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: "Change settings of an account", Args: cobra.ExactArgs(1)}
	if create {
		cmd.Short = "Create an account"
	}
	settings.Bind(cmd.Flags(), client.AccountSettings{})
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		old, _, err := c.Account(ctx, id)
		missing, err := notFound(err, create)
		switch {
		case err != nil:
			return fmt.Errorf("account %q not changed: %w", id, err)
		case create && !missing:
			return exists("account", id, "tandem account set "+settings.Quote(id))
		}
		next := old.AccountSettings
		if create {
			next = client.AccountSettings{Type: client.AccountClient}
		}
		if err := settings.Apply(cmd.Flags(), &next); err != nil {
			return usage(err)
		}
		if next.Currency == "" {
			return badUsage("which currency? --currency USD")
		}
		if len(settings.Diff(old.AccountSettings, next)) == 0 {
			return a.unchanged("account %q", id)
		}
		made, r, err := c.PutAccount(ctx, id, next)
		if err != nil {
			return fmt.Errorf("account %q not written: %w", id, err)
		}
		return a.changed(edited("account", id, "tandem account", "", old.AccountSettings, made.AccountSettings, missing, r, made))
	})
	return cmd
}

// accountPay moves money between the house and an account.
func (a *app) accountPay(use, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID AMOUNT", Short: short, Args: cobra.ExactArgs(2)}
	if use == "adjust" {
		cmd.Long = short + ". A negative amount needs \"--\" before it: tandem account adjust acme -- -5.00"
	}
	memo := cmd.Flags().String("memo", "", "for the ledger")
	key := cmd.Flags().String("key", "", "pays once, however often the command is repeated")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		amount, err := billing.ParseAmount(args[1])
		if err != nil {
			return usage(err)
		}
		pay, done := c.TopUp, "topped up by"
		if use == "adjust" {
			pay, done = c.Adjust, "adjusted by"
		}
		posted, err := pay(ctx, id, client.Payment{Amount: amount, Memo: *memo}, *key)
		if err != nil {
			return fmt.Errorf("account %q not %s %s: %w", id, done, amount, err)
		}
		undo := fmt.Sprintf("tandem account adjust %s --memo 'undo of index %d' -- %s", settings.Quote(id), posted.Index, -amount)
		return a.changed(change{
			What:  fmt.Sprintf("account %q %s %s %s", id, done, posted.Amount, posted.Currency),
			Index: posted.Index, Undo: undo, Object: posted,
		})
	})
	return cmd
}

func (a *app) accountLock(use string, locked bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: "Refuse all calls of an account", Args: cobra.ExactArgs(1)}
	undo := "unlock"
	if !locked {
		cmd.Short, undo = "Let an account call again", "lock"
	}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		account, r, err := c.LockAccount(ctx, args[0], locked)
		if err != nil {
			return fmt.Errorf("account %q not %sed: %w", args[0], use, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("account %q %sed", args[0], use), Index: r.Index,
			Undo: fmt.Sprintf("tandem account %s %s", undo, settings.Quote(args[0])), Object: account,
		})
	})
	return cmd
}

func (a *app) accountLedger() *cobra.Command {
	cmd := &cobra.Command{Use: "ledger ID", Short: "List an account's transfers, newest first", Args: cobra.ExactArgs(1)}
	limit := cmd.Flags().Int("limit", 50, "most transfers; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		items, err := collect(*limit, client.Each(ctx, client.LedgerQuery{Page: page(*limit), Account: args[0]}, c.Ledger))
		if err != nil {
			return err
		}
		type T = client.Transfer
		return listing(a, items, *limit, []render.Column[T]{
			col("SEQ", func(t T) any { return t.Seq }),
			col("AT", func(t T) any { return t.At }),
			col("KIND", func(t T) any { return t.Kind }),
			col("DEBIT", func(t T) any { return t.Debit }),
			col("CREDIT", func(t T) any { return t.Credit }),
			col("AMOUNT", func(t T) any { return t.Amount }),
			col("CUR", func(t T) any { return t.Currency }),
			col("CDR", func(t T) any { return orNone(t.CDR) }),
			col("INDEX", func(t T) any { return t.Index }),
			col("BY", func(t T) any { return t.Actor }),
			col("MEMO", func(t T) any { return t.Memo }),
		})
	})
	return cmd
}

// orNone leaves a number out when it is 0.
func orNone(n uint64) any {
	if n == 0 {
		return nil
	}
	return n
}

func (a *app) accountRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm ID", Short: "Remove an account without money and calls", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		if !a.flags.yes {
			return refused(fmt.Sprintf("remove account %q", id), "its settings are gone then; its CDRs and transfers stay")
		}
		old, _, err := c.Account(ctx, id)
		if err != nil {
			return fmt.Errorf("account %q not removed: %w", id, err)
		}
		done, err := c.DeleteAccount(ctx, id)
		if err != nil {
			return fmt.Errorf("account %q not removed: %w", id, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("account %q removed", id), Index: done.Index,
			Undo: recreate("account", id, old.AccountSettings, client.AccountSettings{}), Object: done,
		})
	})
	return cmd
}
