package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// raftStream is raft's StreamLayer over a Network.
type raftStream struct {
	net.Listener
	network Network
}

// Dial implements raft.StreamLayer.
func (s raftStream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.network.Dial(ctx, string(addr), ProtoRaft)
}

// raftListener reports the advertised address (its own may be a wildcard) and
// closes what it accepted when it is closed, which raft's transport leaves open.
type raftListener struct {
	net.Listener
	addr advertised

	mu    sync.Mutex // guards what follows
	conns map[*raftConn]bool
}

// advertised is an address as raft's peers see it.
type advertised string

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }

// Addr implements net.Listener, as do the methods below.
func (l *raftListener) Addr() net.Addr { return l.addr }

func (l *raftListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &raftConn{conn, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.conns[c] = true
	return c, nil
}

func (l *raftListener) Close() error {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
	}
	return l.Listener.Close()
}

// raftConn is an accepted connection.
type raftConn struct {
	net.Conn
	of *raftListener
}

func (c *raftConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// errMuted is what raft sees while a write to its stores hangs, or has failed.
var errMuted = errors.New("muted: a write to the disk hangs or has failed")

// raftLink is raft's transport. While this node's disk hangs it is mute: raft
// itself never notices, since heartbeats run apart from the blocked main loop, so
// a leader that cannot commit would lead for ever (ARCHITECTURE.md, rule 7). Muted, it is
// replaced after an election timeout, and rejoins by itself when the write
// returns; its calls and media go on.
type raftLink struct {
	*raft.NetworkTransport
	disk *diskGuard
	gate *raftGate

	self   raft.ServerID
	addr   raft.ServerAddress
	peer   func(id string) (addr string, ok bool)
	hints  sync.WaitGroup
	mu     sync.Mutex // guards what follows
	hinted map[string]*commitHint
	closed bool

	silent atomic.Bool // for good
	mutes  atomic.Uint64
}

// muted says whether to stay silent.
func (l *raftLink) muted() bool {
	if l.disk.stalled() < muteAfter && !l.silent.Load() {
		return false
	}
	l.mutes.Add(1)
	return true
}

// silence ends all talk with raft's peers: nothing leaves any more, not even an
// answer that is being written.
func (l *raftLink) silence() {
	l.silent.Store(true)
	_ = l.Close() // of sockets that are of no use any more
}

// AppendEntries implements raft.Transport, as do the methods that follow.
func (l *raftLink) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if l.muted() {
		return errMuted
	}
	if !isHeartbeat(args) {
		l.gate.wait(id)
		return l.NetworkTransport.AppendEntries(id, target, args, resp)
	}
	err := l.NetworkTransport.AppendEntries(id, target, args, resp)
	l.gate.heard(id, err)
	return err
}

func (l *raftLink) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if l.muted() {
		return errMuted
	}
	return l.NetworkTransport.RequestVote(id, target, args, resp)
}

func (l *raftLink) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if l.muted() {
		return errMuted
	}
	return l.NetworkTransport.RequestPreVote(id, target, args, resp)
}

func (l *raftLink) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if l.muted() {
		return errMuted
	}
	return l.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// campaign sends this node's own raft the message by which a leader that resigns
// names its successor.
func (l *raftLink) campaign() error {
	req := raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.self), Addr: l.EncodePeer(l.self, l.addr)}}
	return l.NetworkTransport.TimeoutNow(l.self, l.addr, &req, &raft.TimeoutNowResponse{})
}

// A commit hint tells a follower at once what the leader has committed. Raft
// tells it with the next entry or after CommitTimeout; the node that waits for
// the result of its own command is told now. The hint is an ordinary, empty
// AppendEntries of the leader's term: the follower checks that it has the entry
// at that index and moves its commit index there.
type commitHint struct {
	term, index uint64
	busy        bool
}

// hintTries and hintPause bound the wait for a follower that does not have the
// entry yet since it was not among the majority.
const (
	hintTries = 4
	hintPause = time.Millisecond
)

// hint tells the origins of an entry's commands that it is committed. Hints to
// one node are sent one by one, the newest wins.
func (l *raftLink) hint(origins []string, term, index uint64) {
	for _, origin := range origins {
		if origin == string(l.self) {
			continue
		}
		l.mu.Lock()
		h := l.hinted[origin]
		if h == nil {
			h = &commitHint{}
			l.hinted[origin] = h
		}
		h.term, h.index = term, index
		start := !h.busy && !l.closed
		if start {
			h.busy = true
			l.hints.Add(1)
		}
		l.mu.Unlock()
		if start {
			go l.sendHints(origin, h)
		}
	}
}

// sendHints sends the newest hint to a node until there is no newer one.
func (l *raftLink) sendHints(node string, h *commitHint) {
	defer l.hints.Done()
	var sent uint64
	for {
		l.mu.Lock()
		term, index := h.term, h.index
		if index == sent || l.closed {
			h.busy = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		sent = index
		if addr, ok := l.peer(node); ok {
			l.sendHint(raft.ServerID(node), raft.ServerAddress(addr), term, index)
		}
	}
}

func (l *raftLink) sendHint(id raft.ServerID, addr raft.ServerAddress, term, index uint64) {
	req := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.self), Addr: l.EncodePeer(l.self, l.addr)},
		Term:      term, PrevLogEntry: index, PrevLogTerm: term, LeaderCommitIndex: index,
	}
	for try := range hintTries {
		var resp raft.AppendEntriesResponse
		if l.AppendEntries(id, addr, &req, &resp) != nil || resp.Success || resp.Term > term {
			return // raft itself sees to whatever went wrong
		}
		time.Sleep(hintPause << try)
	}
}

// stopHints waits until no hint is on its way.
func (l *raftLink) stopHints() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.hints.Wait()
}
