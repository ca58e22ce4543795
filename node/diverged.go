package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// replaceState waits until the others contradict this node's state
// (ARCHITECTURE.md, rule 11), hands over what the node serves and has the state
// replaced, for which the process ends. When nobody takes over, or the quorum
// would be lost, it stays at the alarm.
func (n *Node) replaceState(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.contradicted:
		}
		var err error
		if !n.opts.Witness {
			err = n.Leave(ctx, nil)
		}
		if err == nil {
			err = n.cluster.Reinstall()
		}
		if err != nil {
			n.log.Error("alarm", "kind", "diverged", "text", "this node's state is wrong and stays so", "err", err)
		}
	}
}

// keepIn opens files for copies of a state that differs, in a directory of their
// own.
func keepIn(dir string) func(name string) (io.WriteCloser, error) {
	return func(name string) (io.WriteCloser, error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory for copies of the state: %w", err)
		}
		name = time.Now().UTC().Format("20060102T150405Z-") + name
		return os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	}
}
