package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/objects"
	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

func (a *app) applyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply -f FILE.toml", Args: cobra.NoArgs, Short: "Bring the cluster's objects to what files say",
		Long: "Creates and changes accounts, gateways, rate tables, packages, number lists and parameters, and makes payments\n" +
			"once for each key. It deletes nothing. Applying the same file again changes nothing.",
		Example: "  tandem apply -f deploy/examples/three-nodes/objects.toml --dry-run",
	}
	files := cmd.Flags().StringSliceP("file", "f", nil, "objects file; repeat for more")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would be done")
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		if len(*files) == 0 {
			return badUsage("which file? -f FILE.toml")
		}
		docs := make([]objects.Document, len(*files))
		for i, f := range *files {
			var err error
			if docs[i], err = objects.Load(f); err != nil {
				return &failure{Code: exitFailed, What: "nothing was applied: " + err.Error(), Next: "correct the file and apply it again"}
			}
		}
		return a.apply(ctx, c, docs, *dryRun)
	})
	return cmd
}

// apply applies documents and prints each object's step.
func (a *app) apply(ctx context.Context, c *client.Client, docs []objects.Document, dryRun bool) error {
	var steps []objects.Step
	var err error
	for i := range docs {
		err = docs[i].Apply(ctx, c, objects.Options{DryRun: dryRun, Report: func(s objects.Step) { steps = append(steps, s) }})
		if err != nil {
			break
		}
	}
	if a.flags.quiet {
		return err
	}
	if err != nil && len(steps) == 0 {
		return fmt.Errorf("nothing was applied: %w", err)
	}
	p := a.printer()
	if printed := render.List(p, steps, []render.Column[objects.Step]{
		col("KIND", func(s objects.Step) any { return s.Kind }),
		col("ID", func(s objects.Step) any { return s.ID }),
		col("ACTION", func(s objects.Step) any { return s.Action }),
		col("INDEX", func(s objects.Step) any { return orNone(s.Index) }),
		col("WHAT", func(s objects.Step) any { return stepText(s) }),
	}); printed != nil {
		return printed
	}
	if err != nil {
		return fmt.Errorf("stopped after %s: %w", count(len(steps), "object"), err)
	}
	actions := map[string]int{}
	for _, s := range steps {
		actions[s.Action]++
	}
	end := ""
	if dryRun {
		end = " (dry run, nothing was changed)"
	}
	return a.say("%d created, %d changed, %d unchanged%s\n",
		actions[objects.Created], actions[objects.Changed], actions[objects.Unchanged], end)
}

func stepText(s objects.Step) string {
	text := s.Note
	for _, c := range s.Changes {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%s %s -> %s", c.Name, shown(c.Old), shown(c.New))
	}
	return text
}
