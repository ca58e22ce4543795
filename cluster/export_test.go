package cluster

import (
	"context"
	"log/slog"
	"net"

	"github.com/hashicorp/raft"
)

// What the tests see of the inside. Those that run a whole cluster are external:
// their world is package chaos/sim.
const (
	Lanes            = lanes
	MaxEntryCommands = maxEntryCommands
	SlewDivisor      = slewDivisor
)

// Leads says whether this node gives log time and order to commands.
func (c *Cluster) Leads() bool {
	_, ok := c.sequencer.leads()
	return ok
}

// VerifyLeader asks a majority whether this node still leads.
func (c *Cluster) VerifyLeader() error { return c.raft.VerifyLeader().Error() }

// TransferTo hands leadership to one node.
func (c *Cluster) TransferTo(id, addr string) error {
	return c.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(addr)).Error()
}

// RPC is one end of the calls between nodes, without a cluster around it.
type RPC struct {
	rpc      *rpc
	listener net.Listener
}

// ServeRPC starts an end of generation 1.
func ServeRPC(node, cluster string, n Network, handlers map[string]Handler) (*RPC, error) {
	l, err := n.Listen(ProtoRPC)
	if err != nil {
		return nil, err
	}
	r := newRPC(hello{node: node, cluster: cluster, generation: 1}, n, slog.New(slog.DiscardHandler))
	for name, h := range handlers {
		r.handle(name, h)
	}
	r.start(l)
	return &RPC{r, l}, nil
}

// Close ends everything and waits.
func (r *RPC) Close() { r.rpc.close(r.listener) }

// Call asks the node at addr.
func (r *RPC) Call(ctx context.Context, addr, name string, req []byte) ([]byte, error) {
	return r.rpc.call(ctx, addr, name, req)
}

// Dial opens a connection that has not said hello.
func (r *RPC) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return r.rpc.network.Dial(ctx, addr, ProtoRPC)
}

// Pose changes the cluster and generation that later connections claim.
func (r *RPC) Pose(cluster string, generation uint32) {
	r.rpc.self.cluster, r.rpc.self.generation = cluster, generation
}

// HangUp closes the connections that this end serves.
func (r *RPC) HangUp() {
	r.rpc.mu.Lock()
	defer r.rpc.mu.Unlock()
	for conn := range r.rpc.serving {
		conn.Close()
	}
}

// HelloFrame is the first frame of a connection.
func HelloFrame(node, cluster string, generation uint32) []byte {
	return frame((&hello{node: node, cluster: cluster, generation: generation}).code)
}
