package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Who may use the API", a.tokenList(), a.tokenCreate(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a token; it is shown once", Args: cobra.ExactArgs(1)}
	role := cmd.Flags().String("role", client.RoleViewer, "viewer, operator, billing, routing or admin")
	life := cmd.Flags().Duration("expires", 0, "life from now; 0: until it is revoked")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		t, r, err := c.CreateToken(ctx, client.TokenSettings{Name: args[0], Role: *role, Expires: client.Seconds(*life)})
		if err != nil {
			return fmt.Errorf("token %q not made: %w", args[0], err)
		}
		if a.flags.quiet {
			_, err := fmt.Fprintln(a.out, t.Secret)
			return err
		}
		if err := a.changed(change{
			What: fmt.Sprintf("token %s %q made, role %s", t.ID, t.Name, t.Role), Index: r.Index,
			Undo: "tandem token revoke " + t.ID + " --yes", Object: t,
		}); err != nil {
			return err
		}
		return a.say("  %s\n  it is not shown again: export TANDEM_TOKEN=...\n", t.Secret)
	})
	return cmd
}

func (a *app) tokenList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List tokens", Args: cobra.NoArgs}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		items, err := collect(0, client.Each(ctx, client.TokenQuery{Page: page(0)}, c.Tokens))
		if err != nil {
			return err
		}
		type T = client.Token
		return render.List(a.printer(), items, []render.Column[T]{
			col("ID", func(t T) any { return t.ID }),
			col("NAME", func(t T) any { return t.Name }),
			col("ROLE", func(t T) any { return t.Role }),
			col("CREATED", func(t T) any { return t.Created }),
			col("EXPIRES", func(t T) any { return t.Expires }),
		})
	})
	return cmd
}

func (a *app) tokenRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "Make a token worthless at once", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		id := args[0]
		own, err := client.ParseCredential(a.flags.token)
		if !a.flags.yes && err == nil && own.ID == id {
			return refused("revoke token "+id, "it is the one that you are using")
		}
		done, err := c.RevokeToken(ctx, id)
		if err != nil {
			return fmt.Errorf("token %s not revoked: %w", id, err)
		}
		return a.changed(change{
			What: "token " + id + " revoked", Index: done.Index, Object: done,
			Undo: "not possible; tandem token create " + settings.Quote("NAME") + " makes another",
		})
	})
	return cmd
}
