package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// newRaftLogger makes raft write to slog.
func newRaftLogger(l *slog.Logger) hclog.Logger {
	if !l.Enabled(context.Background(), slog.LevelError) {
		return hclog.NewNullLogger()
	}
	out := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Error})
	out.RegisterSink(raftLog{l})
	return out
}

type raftLog struct{ *slog.Logger }

// Accept implements hclog.SinkAdapter. What raft tells of its own steps is for
// debugging: who leads and who is away is told by the cluster's events. Raft
// calls every lost connection an error; for an operator it is a warning at most.
func (r raftLog) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Warn && !routine(msg) {
		to = slog.LevelWarn
	}
	for i := 1; i < len(args); i += 2 {
		if err, ok := args[i].(error); ok && errors.Is(err, net.ErrClosed) {
			to = slog.LevelDebug // this node is going down
		}
		if args[i-1] == slog.TimeKey {
			args[i-1] = "took" // slog's own key must not come twice
		}
		args[i] = plain(args[i])
	}
	r.Log(context.Background(), to, "raft: "+msg, args...)
}

// routine tells the warnings that come several times a second while a node is
// away, or whenever one comes back. A lost node is told by "failed to contact",
// a lost leader by the event.
func routine(msg string) bool {
	for _, prefix := range []string{
		"heartbeat timeout reached, starting election",
		"Election timeout reached",
		"failed to make requestVote RPC",
		"failed to heartbeat to",
		"failed to appendEntries to",
		"failed to pipeline appendEntries",
		"failed to get previous log", // a commit hint that came too early
		"appendEntries rejected",
		"rejecting vote request since we have a leader",
		"rejecting pre-vote request since we have a leader",
	} {
		if strings.HasPrefix(msg, prefix) {
			return true
		}
	}
	return false
}

// plain makes a value of raft's readable in JSON: hclog formats late, slog does
// not know String methods.
func plain(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if len(v) > 0 {
			return fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
		}
	case raft.Server:
		return string(v.ID)
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	return v
}
