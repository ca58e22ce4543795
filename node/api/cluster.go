package api

import (
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addCluster(api huma.API) {
	op := func(path, id, summary string) huma.Operation {
		o := tagged("cluster", operation(api, http.MethodGet, path, id, summary))
		o.Metadata[metaLocal] = true
		return o
	}
	huma.Register(api, op("/status", "get-status", "Show a summary of the cluster"), s.status)
	huma.Register(api, op("/members", "list-members", "List the nodes, as gossip and the state machine see them"), s.members)
	huma.Register(api, op("/raft/peers", "list-peers", "List raft's configuration, as this node sees it"), s.peers)
	huma.Register(api, op("/raft/hashes", "list-hashes", "List this node's state hashes, newest first"), s.hashes)
}

// silentAfter is how long a voter may say nothing before it counts as away: nodes
// compare notes each second, and a lost answer is no news.
const silentAfter = 3 * time.Second

// isSilent reports whether this node does not hear a peer. Gossip is quicker to
// notice a death than the silence is long.
func isSilent(st *cluster.Status, p *cluster.Peer) bool {
	if p.ID == st.ID {
		return false
	}
	for i := range st.Members {
		if m := &st.Members[i]; m.ID == p.ID && !m.Alive {
			return true
		}
	}
	return p.LastContact < 0 || p.LastContact > silentAfter
}

func (s *server) status(_ context.Context, _ *Reading) (*object[client.Status], error) {
	st := s.cfg.Cluster.Status()
	out := client.Status{
		Cluster: st.ClusterID, Node: s.cfg.Node, Version: s.cfg.Version, Leader: st.Leader,
		Term: st.Term, Commit: st.Commit, Applied: st.Applied, Ready: true,
	}
	level := 0
	for i := range st.Peers {
		p := &st.Peers[i]
		if !p.Voter {
			continue
		}
		out.Voters++
		if !isSilent(&st, p) {
			out.VotersUp++
			if p.Lag <= readyLag {
				level++
			}
		}
	}
	switch {
	case st.Leader == "" || out.VotersUp <= out.Voters/2:
		out.Health = client.NoQuorum
	case level < out.Voters:
		out.Health = client.Degraded
	default:
		out.Health = client.Healthy
	}
	out.Survives = max(out.VotersUp-out.Voters/2-1, 0)
	if err := s.ready(); err != nil {
		out.Ready, out.NotReady = false, err.Error()
	}
	answer := &object[client.Status]{}
	s.cfg.State.View(func(st *fsm.State) {
		n := st.Counts()
		answer.Index = st.Index()
		out.At, out.Level, out.Accounts, out.Tables, out.Blocked = timeOf(st.At()), st.Level(), n.Accounts, n.RateTables, n.Blocks
		out.Gateways, out.CDRs, out.Transfers = n.MappingGateways+n.RoutingGateways, n.CDRs, n.Transfers
		noteOwners(&out, st)
	})
	answer.Body = out
	return answer, nil
}

// noteOwners adds what operators want to know of who owns what: whatever is not
// as on a quiet day.
func noteOwners(out *client.Status, st *fsm.State) {
	for _, m := range st.Members() {
		n := showNode(st, &m)
		switch {
		case !m.Up:
			out.Down = append(out.Down, n.Node)
			out.Waiting += n.Calls
			continue
		case m.Draining:
			out.Draining = append(out.Draining, n)
		}
		out.Calls += n.Calls
	}
	for _, a := range st.Addresses() {
		if a.Owner != a.Home {
			out.Away = append(out.Away, showAddress(&a))
		}
	}
}

// members joins what gossip, consensus and the state machine know of a node.
func (s *server) members(ctx context.Context, _ *Reading) (*page[client.Member], error) {
	st := s.cfg.Cluster.Status()
	nodes := map[string]*client.Member{}
	of := func(id string) *client.Member {
		if nodes[id] == nil {
			nodes[id] = &client.Member{Node: id, State: "unknown"}
		}
		return nodes[id]
	}
	for _, m := range st.Members {
		n := of(m.ID)
		n.Address, n.Since.Time, n.State = m.Addr, m.Since.UTC(), "dead"
		if m.Alive {
			n.State = "alive"
		}
	}
	for _, p := range st.Peers {
		n := of(p.ID)
		n.Role = "non-voter"
		switch {
		case p.Leader:
			n.Role = "leader"
		case p.Voter:
			n.Role = "voter"
		}
		if n.Address == "" {
			n.Address = p.Addr
		}
	}
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		for _, m := range st.Members() {
			n := of(string(m.Node))
			n.Witness, n.Up, n.Incarnation, n.Version, n.Level = m.Witness, m.Up, m.Incarnation, m.Version, m.Level
			n.Calls = len(st.OwnedCalls(m.Node, m.Incarnation))
			for _, a := range m.Addresses {
				n.Services = append(n.Services, a.IP)
			}
		}
	})
	items := make([]client.Member, 0, len(nodes))
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		items = append(items, *nodes[id])
	}
	return listed(ctx, items, "", index), nil
}

func (s *server) peers(ctx context.Context, _ *Reading) (*page[client.Peer], error) {
	st := s.cfg.Cluster.Status()
	items := make([]client.Peer, 0, len(st.Peers))
	for i := range st.Peers {
		p := &st.Peers[i]
		state := "follower"
		switch {
		case p.Leader:
			state = "leader"
		case isSilent(&st, p):
			state = "silent"
		}
		items = append(items, client.Peer{
			Node: p.ID, Address: p.Addr, State: state, Voter: p.Voter, LastContact: client.Seconds(p.LastContact),
			Commit: p.Commit, Applied: p.Applied, LastLog: p.LastLog, Lag: p.Lag, Snapshot: p.Snapshot,
			WallOffset: client.Seconds(p.WallOffset), DiskStalled: client.Seconds(p.DiskStalled),
		})
	}
	return listed(ctx, items, "", st.Applied), nil
}

func (s *server) hashes(ctx context.Context, _ *Reading) (*page[client.Checkpoint], error) {
	var from []fsm.Checkpoint
	var index uint64
	s.cfg.State.View(func(st *fsm.State) { from, index = st.Checkpoints(), st.Index() })
	items := make([]client.Checkpoint, 0, len(from))
	for _, c := range slices.Backward(from) {
		items = append(items, client.Checkpoint{Index: c.Index, Hash: hex.EncodeToString(c.Hash[:])})
	}
	return listed(ctx, items, "", index), nil
}
