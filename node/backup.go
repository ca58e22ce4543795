package node

import (
	"context"
	"fmt"
	"io"
	"time"

	"tandem/fsm"
	"tandem/node/backup"
	"tandem/node/cdr"
)

// backupRows is how many rows are read at once for a backup.
const backupRows = 1000

// backupKey keys the seal of a cluster's backups.
func backupKey(secret []byte) []byte { return derive(secret, "backup") }

// Backup writes the cluster's state, as of everything that was acknowledged
// before the call, and the records and transfers up to there.
func (n *Node) Backup(ctx context.Context, w io.Writer) (backup.Manifest, error) {
	if _, err := n.cluster.ReadIndex(ctx); err != nil {
		return backup.Manifest{}, err
	}
	st := n.cluster.Status()
	out := backup.NewWriter(w, backupKey(n.opts.Secret), backup.Head{
		ClusterID: st.ClusterID, Generation: st.Generation, Node: string(n.id), Version: n.opts.Version, Taken: time.Now().UTC(),
	})
	head, err := n.cluster.Backup(ctx, out.State())
	if err != nil {
		return backup.Manifest{}, err
	}
	var counts fsm.Counts
	n.replica.View(func(s *fsm.State) { counts = s.Counts() })
	for first := uint64(1); first <= max(counts.CDRs, counts.Transfers); first += backupRows {
		span := cdr.Span{First: first, Last: first + backupRows - 1}
		cdrs, transfers, err := n.opts.CDRs.Range(ctx, span, span, 2*backupRows)
		if err == nil {
			err = out.Rows(cdrs, transfers)
		}
		if err != nil {
			return backup.Manifest{}, fmt.Errorf("records from %d: %w", first, err)
		}
	}
	return out.Close(head.Index, time.UnixMicro(head.At).UTC())
}
