package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/settings"
	"tandem/node"
	"tandem/node/config"
	"tandem/node/setup"
)

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Args: cobra.NoArgs, Short: "Make a cluster's keys, certificates and configuration files",
		Long: "Makes DIR/cluster (the CA's key: keep it away from the nodes) and a directory for each node:\n" +
			"its data directory, with a configuration file in it. The administrator's token is printed once.\n" +
			"Run again on the same DIR with other nodes, it adds them to the cluster.",
		Example: "  tandem init --nodes n1=10.0.0.11,n2=10.0.0.12,n3=10.0.0.13 --dir sg-prod --data-dir /var/lib/tandem\n" +
			"  tandem init --nodes n4=10.0.0.14 --dir sg-prod --data-dir /var/lib/tandem",
	}
	nodes := cmd.Flags().StringSlice("nodes", []string{"n1=127.0.0.1"}, "NAME=IP of each node")
	dir := cmd.Flags().String("dir", "tandem-data", "where to make the directories")
	dataDir := cmd.Flags().String("data-dir", "", "where the node's directory will lie on its machine; default: where it is made")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg := setup.Config{Dir: *dir, DataDir: *dataDir}
		for _, text := range *nodes {
			name, ip, _ := strings.Cut(text, "=")
			addr, err := netip.ParseAddr(ip)
			if err != nil || name == "" {
				return badUsage("--nodes %q: want NAME=IP", text)
			}
			cfg.Nodes = append(cfg.Nodes, setup.Node{Name: name, IP: addr})
		}
		made, err := setup.Run(cfg, time.Now())
		var file *config.Error
		switch {
		case errors.As(err, &file):
			return &failure{Code: exitFailed, What: "nothing was made: " + file.Key + ": " + file.Problem, Next: "give other --nodes"}
		case err != nil:
			return fmt.Errorf("nothing was made: %w", err)
		}
		return a.initialized(*dir, made)
	}
	return cmd
}

// initialized says what was made and what to do next. The token is printed even
// with --quiet: it is nowhere else.
func (a *app) initialized(dir string, made setup.Made) error {
	if a.flags.quiet {
		if made.Token == "" {
			return nil
		}
		_, err := fmt.Fprintln(a.out, made.Token)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s: %s holds the CA's key, keep it away from the nodes\n", made.ClusterID, filepath.Join(dir, "cluster"))
	for _, n := range made.Nodes {
		fmt.Fprintf(&b, "  %s  tandem serve --config %s\n", n.Name, settings.Quote(n.File))
	}
	if made.Token == "" {
		fmt.Fprintf(&b, "next: copy the directories to their machines and start the nodes, they join by themselves\n")
	} else {
		fmt.Fprintf(&b, "administrator's token, shown this once:\n  export TANDEM_TOKEN=%s TANDEM_ADDR=%s", made.Token, apis(made.Nodes))
		if !(config.HTTP{Listen: made.Nodes[0].API}).Loopback() {
			fmt.Fprintf(&b, " TANDEM_CA=%s", settings.Quote(filepath.Join(dir, "cluster", node.FileCA)))
		}
		fmt.Fprintln(&b)
		fmt.Fprintf(&b, "next: start the nodes, then: tandem status\n")
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func apis(nodes []setup.MadeNode) string {
	addrs := make([]string, len(nodes))
	for i, n := range nodes {
		addrs[i] = n.API
	}
	return strings.Join(addrs, ",")
}
