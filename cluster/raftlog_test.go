package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestRaftLog(t *testing.T) {
	var out bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := newRaftLogger(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: drop})))
	n1 := raft.Server{ID: "n1", Address: "10.0.0.11:7946"}
	log.Info("initial configuration", "index", 1, "servers", hclog.Fmt("%+v", []raft.Server{n1}))
	log.Error("failed to appendEntries to", "peer", n1, "error", errors.New("refused"))
	log.Warn("failed to contact", "server-id", raft.ServerID("n1"), "time", 2*time.Second)
	log.Error("failed to commit logs", "error", errors.New("disk full"))
	const want = `{"level":"DEBUG","msg":"raft: initial configuration","index":1,"servers":"[{Suffrage:Voter ID:n1 Address:10.0.0.11:7946}]"}
{"level":"DEBUG","msg":"raft: failed to appendEntries to","peer":"n1","error":"refused"}
{"level":"WARN","msg":"raft: failed to contact","server-id":"n1","took":"2s"}
{"level":"WARN","msg":"raft: failed to commit logs","error":"disk full"}
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRaftLogIsQuietAtInfo(t *testing.T) {
	var out bytes.Buffer
	log := newRaftLogger(slog.New(slog.NewJSONHandler(&out, nil)))
	log.Info("entering follower state")
	log.Warn("Election timeout reached, restarting election")
	log.Warn("failed to contact quorum of nodes, stepping down")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "stepping down") {
		t.Errorf("got %s", got)
	}
}
