package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tandem/node/api/client"
)

// Install puts a program at path in one step: whoever starts it gets the old one
// or the new one, and processes that run the old one keep it.
func Install(program, path string) error {
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	fresh, err := os.CreateTemp(filepath.Dir(path), ".tandem-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(fresh, from)
	err = errors.Join(err, fresh.Chmod(0o755), fresh.Sync(), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("install %s: %w", path, err), os.Remove(fresh.Name()))
	}
	return nil
}

// VersionOf asks a program for its version.
func VersionOf(ctx context.Context, program string) (string, error) {
	out, err := exec.CommandContext(ctx, program, "version").Output()
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "tandem ")
	if err == nil && !ok {
		err = fmt.Errorf("it says %q", out)
	}
	if err != nil {
		return "", fmt.Errorf("%s is no tandem: %w", program, err)
	}
	return version, nil
}

// maxOutput is what an error shows of a command's output.
const maxOutput = 1000

// Command returns what runs an operator's command for a node, in a shell:
// TANDEM_NODE is the node's name, TANDEM_IP its first service address.
func Command(line string) func(ctx context.Context, node client.Node) error {
	return func(ctx context.Context, node client.Node) error {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
		cmd.Env = append(os.Environ(), "TANDEM_NODE="+node.Node)
		if len(node.Addresses) > 0 {
			cmd.Env = append(cmd.Env, "TANDEM_IP="+node.Addresses[0].IP)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = bytes.TrimSpace(out)
			return fmt.Errorf("%s: %w: %s", line, err, out[max(0, len(out)-maxOutput):])
		}
		return nil
	}
}
