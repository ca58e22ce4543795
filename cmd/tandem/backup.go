package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node"
	"tandem/node/backup"
	"tandem/node/config"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Back the cluster up, and begin it anew from a backup", a.backupCreate(), a.backupVerify(), a.backupRestore())
}

func (a *app) backupCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create FILE", Short: "Write the cluster's state and records to a file", Args: cobra.ExactArgs(1),
		Long: "Writes the state as of everything that was acknowledged before, and all records and transfers up to there. The file\n" +
			"is checked before it gets its name. It does not hold the cluster's keys: keep the directory \"cluster\" of tandem init.",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := a.createBackup(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("no backup written: %w", err)
		}
		return a.showManifest(m)
	}
	return cmd
}

func (a *app) createBackup(ctx context.Context, path string) (backup.Manifest, error) {
	c, err := a.client()
	if err != nil {
		return backup.Manifest{}, err
	}
	if _, err := os.Lstat(path); err == nil {
		return backup.Manifest{}, &failure{Code: exitFailed, What: path + " is there already", Why: "a backup never replaces another one", Next: "another name"}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*")
	if err != nil {
		return backup.Manifest{}, err
	}
	defer os.Remove(f.Name()) // gone by then, unless something failed
	err = errors.Join(c.Backup(ctx, f), f.Sync())
	var m backup.Manifest
	if err == nil {
		if _, err = f.Seek(0, 0); err == nil {
			m, _, err = node.Inspect(f, nil)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	return m, os.Rename(f.Name(), path)
}

func (a *app) backupVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a backup, without a cluster", Args: cobra.ExactArgs(1),
		Long: "Reads the whole file, checks every checksum, rebuilds the state and adds up its ledger. With --key, the file\n" +
			"pki/cluster.key of a node, it checks too that this cluster made it.",
	}
	key := cmd.Flags().String("key", "", "the cluster's key")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		secret, err := readKey(*key)
		if err != nil {
			return err
		}
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		m, _, err := node.Inspect(f, secret)
		if err != nil {
			return &failure{Code: exitFailed, What: args[0] + " cannot be restored", Why: err.Error(), Next: "tandem backup create, or an older file"}
		}
		return a.showManifest(m)
	}
	return cmd
}

// readKey reads a key of hex digits; no path, no key.
func readKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func (a *app) showManifest(m backup.Manifest) error {
	type M = backup.Manifest
	if a.flags.quiet {
		return nil
	}
	return render.Object(a.printer(), m, []render.Column[M]{
		col("CLUSTER", func(m M) any { return m.ClusterID }),
		col("GENERATION", func(m M) any { return m.Generation }),
		col("INDEX", func(m M) any { return m.Index }),
		col("LOG TIME", func(m M) any { return m.At.Format(time.RFC3339) }),
		col("TAKEN", func(m M) any { return m.Taken.Format(time.RFC3339) + " by " + m.Node }),
		col("STATE", func(m M) any { return fmt.Sprintf("%d bytes", m.State) }),
		col("CDRS", func(m M) any { return m.CDRs }),
		col("TRANSFERS", func(m M) any { return m.Transfers }),
		col("SHA-256", func(m M) any { return m.SHA256 }),
	})
}

func (a *app) backupRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Begin the cluster anew from a backup, on this machine", Args: cobra.ExactArgs(1),
		Long: "Makes a new generation of the cluster in the empty data directory of one node, which tandem init has made. Start that\n" +
			"node, then the others with empty data directories too; nodes of the old generation are refused. Whatever was\n" +
			"acknowledged after the backup is lost.",
	}
	file := cmd.Flags().String("config", "/etc/tandem/tandem.toml", "configuration file of the node")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, err := config.Load(*file)
		if err != nil {
			return fmt.Errorf("nothing restored: %w", err)
		}
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := node.Restore(c, f, a.logger(c.Log))
		if err != nil {
			return unrecovered("nothing restored", c, err)
		}
		return a.showRecovered(c, *file, r)
	}
	return cmd
}

func (a *app) recoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recover", Short: "Begin the cluster anew from this node, when the majority is lost for good", Args: cobra.NoArgs,
		Long: "Makes a new generation of the cluster from the data directory of the one node that has survived: the others must never\n" +
			"come back with theirs. Take the node whose log is the longest. What only the lost nodes knew is lost.",
	}
	file := cmd.Flags().String("config", "/etc/tandem/tandem.toml", "configuration file of the node")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := config.Load(*file)
		if err != nil {
			return fmt.Errorf("nothing recovered: %w", err)
		}
		if !a.flags.yes {
			return refused("recover from "+c.Node.Name, "as long as a majority can be started again, nothing has to be lost:\n"+
				"start it instead; recovering takes this node's word for everything")
		}
		r, err := node.Recover(c, a.logger(c.Log))
		if err != nil {
			return unrecovered("nothing recovered", c, err)
		}
		return a.showRecovered(c, *file, r)
	}
	return cmd
}

// unrecovered explains why a new generation was not begun.
func unrecovered(what string, c config.Config, err error) error {
	f := &failure{Code: exitFailed, What: what + " into " + c.Node.DataDir, Why: err.Error()}
	switch {
	case errors.Is(err, node.ErrInUse):
		f.Next = "stop the node first"
	case errors.Is(err, node.ErrDataThere):
		f.Next = "move the data away, all but pki/ and cluster.json: it is not overwritten"
	case errors.Is(err, backup.ErrForeign):
		f.Next = "tandem backup verify FILE --key pki/cluster.key; restore it with the pki/ and cluster.json of its own cluster"
	default:
		f.Next = "tandem backup verify FILE"
	}
	return f
}

// showRecovered says what the new generation begins with and what to do next.
func (a *app) showRecovered(c config.Config, file string, r node.Recovered) error {
	p := a.printer()
	type R = node.Recovered
	if a.flags.quiet {
		return nil
	}
	err := render.Object(p, r, []render.Column[R]{
		col("GENERATION", func(r R) any { return r.Generation }),
		col("INDEX", func(r R) any { return r.Index }),
		col("LOG TIME", func(r R) any { return r.At.Format(time.RFC3339) }),
		col("CALLS ENDED", func(r R) any { return fmt.Sprintf("%d, charged to their last proof of life", r.Ended) }),
		col("RECORDS MISSING", func(r R) any { return spans(r) }),
		col("LOST", func(R) any { return "whatever was acknowledged behind that index: payments, changes, calls" }),
	})
	if err != nil {
		return err
	}
	for _, cdr := range r.Charged {
		if err := a.say("  call %x  account %s  %v  charged %s %s\n", cdr.Call, cdr.Account, cdr.Duration, cdr.Fee, cdr.Currency); err != nil {
			return err
		}
	}
	return a.say("next: tandem serve --config %s\n"+
		"then each other node, with an empty data_dir but for pki/ and this cluster.json:\n  %s\n",
		file, filepath.Join(c.Node.DataDir, node.FileCluster))
}

func spans(r node.Recovered) any {
	var parts []string
	for _, s := range r.Missing {
		parts = append(parts, fmt.Sprintf("%d-%d", s.First, s.Last))
	}
	return strings.Join(parts, ", ")
}
