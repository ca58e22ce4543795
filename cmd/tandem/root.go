package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

// globals are the flags of all commands. Each may come from the environment
// too: --addr from TANDEM_ADDR and so on; the flag wins.
type globals struct {
	set     *pflag.FlagSet
	addrs   []string
	token   string
	ca      string
	output  string
	timeout time.Duration
	quiet   bool
	yes     bool
	noColor bool
	stale   bool
	utc     bool

	format render.Format
}

const (
	defaultAddr    = "127.0.0.1:8443"
	defaultTimeout = 15 * time.Second
)

func (g *globals) bind(fs *pflag.FlagSet) {
	g.set = fs
	fs.StringSliceVar(&g.addrs, "addr", []string{defaultAddr}, "API of a node, HOST:PORT or URL; repeat for more, tried in order")
	fs.StringVar(&g.token, "token", "", "API token, tandem_<id>_<secret>")
	fs.StringVar(&g.ca, "ca", "", "file with the cluster's CA certificate (pki/ca.pem)")
	fs.StringVarP(&g.output, "output", "o", "table", "table, json, ndjson or csv")
	fs.DurationVar(&g.timeout, "timeout", defaultTimeout, "for the whole command")
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "print nothing when all is well")
	fs.BoolVarP(&g.yes, "yes", "y", false, "do what is refused otherwise (exit code 6)")
	fs.BoolVar(&g.noColor, "no-color", false, "no colours (NO_COLOR)")
	fs.BoolVar(&g.stale, "stale", false, "read from the asked node without asking the leader")
	fs.BoolVar(&g.utc, "utc", false, "print times in UTC")
}

// complete takes what is not on the command line from the environment.
func (g *globals) complete(env func(string) string) error {
	var err error
	g.set.VisitAll(func(f *pflag.Flag) {
		name := "TANDEM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v := env(name)
		if v == "" || f.Changed || err != nil {
			return
		}
		if e := f.Value.Set(v); e != nil {
			err = badUsage("%s: %v", name, e)
		}
	})
	if err != nil {
		return err
	}
	if g.format, err = render.ParseFormat(g.output); err != nil {
		return usage(err)
	}
	return nil
}

// printer prints to the app's output as the flags say.
func (a *app) printer() render.Printer {
	p := render.Printer{Out: a.out, Format: a.flags.format, Zone: time.Local}
	p.Color = a.terminal && !a.flags.noColor && a.env("NO_COLOR") == ""
	if a.flags.utc {
		p.Zone = time.UTC
	}
	return p
}

// client connects to the API as the flags say.
func (a *app) client() (*client.Client, error) {
	return a.clientOf(a.flags.addrs, a.flags.token)
}

func (a *app) clientOf(addrs []string, token string) (*client.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if a.flags.ca != "" {
		pem, err := os.ReadFile(a.flags.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, badUsage("--ca %s: no certificate in it", a.flags.ca)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	}
	c, err := client.New(client.Config{
		Addrs: addrs, Token: token, HTTP: &http.Client{Transport: transport},
		Stale: a.flags.stale, Agent: "tandem/" + buildVersion(),
	})
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

// api wraps a command that talks to the API: it gets a client and a context that
// ends with --timeout.
func (a *app) api(do func(context.Context, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), a.flags.timeout)
		defer cancel()
		return do(ctx, c, args)
	}
}

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tandem",
		Short: "A clustered softswitch: calls held, routed and charged exactly once",
		Long: "A clustered softswitch: calls held, routed and charged exactly once.\n\n" +
			"Every flag may come from the environment: --addr from TANDEM_ADDR (a list with commas), --token from TANDEM_TOKEN.\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no node answers, 4 no leader or no quorum,\n" +
			"5 a threshold is breached, 6 refused without --yes.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          a.api(a.status),
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if at := new(pflag.NotExistError); errors.As(err, &at) && strings.Trim(at.GetSpecifiedName(), "0123456789") == "" {
			return fmt.Errorf("%w: a number below zero goes behind \"--\"", err)
		}
		return err
	})
	a.flags.bind(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "node", Title: "A node and a cluster:"},
		&cobra.Group{ID: "objects", Title: "Accounts, gateways, rates:"},
		&cobra.Group{ID: "calls", Title: "Calls and what became of them:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("node", a.initCommand(), a.serveCommand(), a.statusCommand(), a.membersCommand(), a.nodeCommand(), a.raftCommand(), a.upgradeCommand(), a.backupCommand(), a.recoverCommand(), a.configCommand())
	add("objects", a.applyCommand(), a.accountCommand(), a.gatewayCommand(), a.phoneCommand(), a.rateCommand(), a.packageCommand(), a.paramCommand(), a.tokenCommand())
	add("calls", a.callsCommand(), a.cdrCommand(), a.routeCommand(), a.blacklistCommand())
	add("tools", a.demoCommand(), a.loadCommand(), a.chaosCommand(), a.benchCommand(), a.versionCommand())
	root.AddCommand(a.guardCommand())
	return root
}

// group is a command that only has commands below it. By itself it lists, when
// listing comes first.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return badUsage("%s needs a command: %s", cmd.CommandPath(), strings.Join(names(below), ", "))
	}}
	if below[0].Use == "list" {
		c.RunE = below[0].RunE
	}
	c.AddCommand(below...)
	return c
}

func names(commands []*cobra.Command) []string {
	out := make([]string, len(commands))
	for i, c := range commands {
		out[i] = c.Name()
	}
	return out
}
