package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/config"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{Use: "check FILE", Short: "Check a node's configuration file", Args: cobra.ExactArgs(1)}
	check.RunE = func(_ *cobra.Command, args []string) error {
		c, err := config.Load(args[0])
		if err != nil {
			return &failure{Code: exitFailed, What: err.Error(), Next: "correct it and check again; nothing was started"}
		}
		serves := make([]string, len(c.Address))
		for i, at := range c.Address {
			serves[i] = at.IP
		}
		return a.say("%s is good: node %s (%s), cluster port %s, calls at %s, API %s\n",
			args[0], c.Node.Name, c.Node.Role, c.Advertise(), cmp.Or(strings.Join(serves, ", "), "no address"), c.HTTP.Listen)
	}
	return group("config", "Configuration files", check)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if p := a.printer(); p.Format != render.Table {
				type V struct {
					Version string `json:"version"`
				}
				return render.Object(p, V{buildVersion()}, []render.Column[V]{col("VERSION", func(v V) any { return v.Version })})
			}
			_, err := fmt.Fprintf(a.out, "tandem %s\n", buildVersion())
			return err
		},
	}
}
