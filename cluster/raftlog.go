package cluster

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
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

// Accept implements hclog.SinkAdapter. Raft calls every lost connection an
// error; for an operator it is a warning at most, and a commit hint that came
// too early is nothing at all.
func (r raftLog) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case strings.HasPrefix(msg, "failed to get previous log"):
	case level >= hclog.Warn:
		to = slog.LevelWarn
	case level == hclog.Info:
		to = slog.LevelInfo
	}
	r.Log(context.Background(), to, "raft: "+msg, args...)
}
