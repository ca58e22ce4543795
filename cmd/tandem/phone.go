package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) phoneCommand() *cobra.Command {
	return group("phone", "Phones that register", a.phoneList(), a.phoneShow(),
		a.phoneEdit("create", true), a.phoneEdit("set", false), a.phoneDrop(), a.phoneRemove())
}

func phoneColumns() []render.Column[client.Phone] {
	type P = client.Phone
	return []render.Column[P]{
		col("NUMBER", func(p P) any { return p.Number }),
		col("ACCOUNT", func(p P) any { return p.Account }),
		col("USER", func(p P) any { return p.User }),
		col("PASSWORD", func(p P) any { return p.HasPassword }),
		col("IN", func(p P) any { return p.LiveIn }),
		col("OUT", func(p P) any { return p.LiveOut }),
		col("EVER", func(p P) any { return p.CallsTotal }),
		col("LOCK IN", func(p P) any { return p.LockIn }),
		col("LOCK OUT", func(p P) any { return p.LockOut }),
	}
}

func (a *app) phoneList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List phones", Args: cobra.NoArgs}
	account := cmd.Flags().String("account", "", "phones of this account")
	limit := cmd.Flags().Int("limit", 100, "most phones; 0: all")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		q := client.GatewayQuery{Page: page(*limit), Account: *account}
		items, err := collect(*limit, client.Each(ctx, q, c.Phones))
		if err != nil {
			return err
		}
		return listing(a, items, *limit, phoneColumns())
	})
	return cmd
}

func (a *app) phoneShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NUMBER", Short: "Show a phone and where it has registered", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		phone, _, err := c.Phone(ctx, args[0])
		if err != nil {
			return err
		}
		p := a.printer()
		if err := render.Object(p, phone, phoneColumns()); err != nil || p.Format != render.Table {
			return err
		}
		type C = client.Contact
		fmt.Fprintln(a.out, "contacts")
		return render.List(p, phone.Contacts, []render.Column[C]{
			col("URI", func(c C) any { return c.URI }),
			col("VIA", func(c C) any { return c.Via }),
			col("SOURCE", func(c C) any { return c.Source }),
			col("LINE", func(c C) any { return c.Line }),
			col("EXPIRES", func(c C) any { return c.Expires }),
			col("REACHABLE", func(c C) any { return c.Reachable }),
			col("AGENT", func(c C) any { return c.UserAgent }),
		})
	})
	return cmd
}

// phoneEdit creates a phone or changes settings of one.
func (a *app) phoneEdit(use string, create bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " NUMBER", Short: "Change settings of a phone", Args: cobra.ExactArgs(1),
		Long: "Change settings of a phone.\n\n--password - reads the password from standard input, where no list of processes shows it.",
	}
	if create {
		cmd.Short = "Create a phone"
	}
	settings.Bind(cmd.Flags(), client.PhoneSettings{})
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		number := args[0]
		old, _, err := c.Phone(ctx, number)
		missing, err := notFound(err, create)
		switch {
		case err != nil:
			return err
		case create && !missing:
			return exists("phone", number, "tandem phone set "+settings.Quote(number))
		}
		next := old.PhoneSettings
		if err := settings.Apply(cmd.Flags(), &next); err != nil {
			return usage(err)
		}
		if next.Password == "-" {
			if next.Password, err = readPassword(a.in); err != nil {
				return err
			}
		}
		if !create && len(settings.Diff(old.PhoneSettings, next)) == 0 {
			return a.unchanged("phone %q", number)
		}
		made, r, err := c.PutPhone(ctx, number, next)
		if err != nil {
			return fmt.Errorf("phone %q not written: %w", number, err)
		}
		return a.changed(edited("phone", number, "tandem phone", "", old.PhoneSettings, made.PhoneSettings, create, r, made))
	})
	return cmd
}

// readPassword takes the first line of a stream.
func readPassword(in io.Reader) (string, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", badUsage("--password -: standard input is empty")
	}
	return line, nil
}

func (a *app) phoneDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop NUMBER", Short: "Remove a phone's contacts: it has to register anew", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		done, err := c.DropContacts(ctx, args[0])
		if err != nil {
			return fmt.Errorf("contacts of phone %q not removed: %w", args[0], err)
		}
		return a.changed(change{What: fmt.Sprintf("contacts of phone %q removed", args[0]), Index: done.Index, Object: done})
	})
	return cmd
}

func (a *app) phoneRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm NUMBER", Short: "Remove a phone; its live calls go on", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		number := args[0]
		old, _, err := c.Phone(ctx, number)
		if err != nil {
			return err
		}
		if !a.flags.yes {
			return refused(fmt.Sprintf("remove phone %q", number), "its password and its contacts are gone then")
		}
		done, err := c.DeletePhone(ctx, number)
		if err != nil {
			return fmt.Errorf("phone %q not removed: %w", number, err)
		}
		return a.changed(change{
			What: fmt.Sprintf("phone %q removed", number), Index: done.Index,
			Undo: recreate("phone", number, old.PhoneSettings, client.PhoneSettings{}) + " --password -", Object: done,
		})
	})
	return cmd
}
