package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// rejoinEvery is how often configured peers that are not members are asked
	// again: memberlist never talks again to a node that it has declared dead, so
	// the sides of a healed partition would stay apart.
	rejoinEvery = 5 * time.Second
	// maxPackets is how many datagrams may wait for memberlist; more are dropped,
	// as a socket would.
	maxPackets = 256
	// leaveTimeout bounds the goodbye.
	leaveTimeout = time.Second
)

// meta is what a member tells about itself in gossip.
type meta struct {
	Expect int  `json:"e,omitempty"` // voters that it waits for
	Empty  bool `json:"n,omitempty"` // it has no raft state at all
	Joined bool `json:"j,omitempty"` // it was a member of raft once
	Voter  bool `json:"v,omitempty"` // it may vote
}

// member is another node, or this one, as gossip sees it.
type member struct {
	id    string
	addr  string
	alive bool
	since time.Time
	meta  meta
}

// gossip is this node's memberlist.
type gossip struct {
	list   *memberlist.Memberlist
	self   string
	log    *slog.Logger
	notify func(Event)
	wake   chan struct{} // capacity 1: the members changed

	mu      sync.Mutex // guards what follows
	own     meta
	members map[string]member
}

// startGossip joins nobody yet.
func startGossip(cfg Config, own meta, log *slog.Logger) (*gossip, error) {
	g := &gossip{self: cfg.ID, log: log, notify: cfg.Notify, own: own,
		wake: make(chan struct{}, 1), members: map[string]member{}}
	link, err := newGossipLink(cfg.Network, cfg.Advertise)
	if err != nil {
		return nil, err
	}
	mc := memberlist.DefaultLANConfig()
	mc.Name = cfg.ID
	mc.Label = fmt.Sprintf("tandem/%s/%d", cfg.ClusterID, cfg.Generation)
	mc.Transport = link
	mc.BindAddr, mc.AdvertiseAddr = link.addr.Addr().String(), link.addr.Addr().String()
	mc.BindPort, mc.AdvertisePort = int(link.addr.Port()), int(link.addr.Port())
	// Death of a member is seen after 0.97 s (p50) with these.
	mc.ProbeInterval, mc.ProbeTimeout = 200*time.Millisecond, 100*time.Millisecond
	mc.SuspicionMult, mc.GossipInterval = 3, 100*time.Millisecond
	mc.TCPTimeout = 2 * time.Second
	// A node that moved is known at its new address after the second of these.
	mc.DeadNodeReclaimTime, mc.PushPullInterval = time.Second, 10*time.Second
	mc.Delegate, mc.Events = g, g
	mc.Logger = newGossipLogger(log)
	if len(cfg.Keyring) > 0 {
		if mc.Keyring, err = memberlist.NewKeyring(cfg.Keyring, cfg.Keyring[0]); err != nil {
			link.Shutdown()
			return nil, fmt.Errorf("gossip keyring: %w", err)
		}
	}
	if g.list, err = memberlist.Create(mc); err != nil {
		link.Shutdown()
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	return g, nil
}

// run keeps looking for the peers of the join list until ctx ends.
func (g *gossip) run(ctx context.Context, join []string, known func() []string) {
	g.rejoin(join)
	t := time.NewTicker(rejoinEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			g.rejoin(append(slices.Clone(join), known()...))
		}
	}
}

// rejoin asks those addresses that belong to no live member, all at once: one
// that swallows packets must not hold up the others.
func (g *gossip) rejoin(addrs []string) {
	var all sync.WaitGroup
	defer all.Wait()
	up := map[string]bool{}
	for _, m := range g.all() {
		up[m.addr] = up[m.addr] || m.alive
	}
	for _, a := range addrs {
		if up[a] {
			continue
		}
		up[a] = true
		all.Go(func() {
			if _, err := g.list.Join([]string{a}); err != nil {
				g.log.Debug("peer not reached", "addr", a, "err", err)
			}
		})
	}
}

// update changes what this node tells about itself.
func (g *gossip) update(m meta) {
	g.mu.Lock()
	same := g.own == m
	g.own = m
	g.mu.Unlock()
	if same {
		return
	}
	if err := g.list.UpdateNode(leaveTimeout); err != nil {
		g.log.Debug("gossip update", "err", err)
	}
}

// all returns the members, sorted by id.
func (g *gossip) all() []member {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]member, 0, len(g.members))
	for _, m := range g.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.id, b.id) })
	return out
}

// find returns a member.
func (g *gossip) find(id string) (member, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, ok := g.members[id]
	return m, ok
}

// forget drops a member from the list.
func (g *gossip) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, id)
}

// stop ends gossip; polite says goodbye first, so that nobody has to suspect.
func (g *gossip) stop(polite bool) {
	if polite {
		if err := g.list.Leave(leaveTimeout); err != nil {
			g.log.Debug("leave gossip", "err", err)
		}
	}
	if err := g.list.Shutdown(); err != nil {
		g.log.Debug("stop gossip", "err", err)
	}
}

// note records what memberlist says about a node. It is called with
// memberlist's locks held and must not call back.
func (g *gossip) note(n *memberlist.Node, alive bool) {
	m := member{id: n.Name, addr: n.Address(), alive: alive, since: time.Now()}
	if len(n.Meta) > 0 {
		if err := json.Unmarshal(n.Meta, &m.meta); err != nil {
			g.log.Warn("member with unreadable metadata", "node", n.Name, "err", err)
		}
	}
	g.mu.Lock()
	was, known := g.members[n.Name]
	if known && was.alive == alive {
		m.since = was.since
	}
	g.members[n.Name] = m
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	if n.Name == g.self || (known && was.alive == alive) {
		return
	}
	kind := EventLeft
	if alive {
		kind = EventJoined
	}
	g.notify(Event{Kind: kind, Node: n.Name, Text: m.addr})
}

// NotifyJoin implements memberlist.EventDelegate, as do the next two.
func (g *gossip) NotifyJoin(n *memberlist.Node)   { g.note(n, true) }
func (g *gossip) NotifyLeave(n *memberlist.Node)  { g.note(n, false) }
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.note(n, true) }

// NodeMeta implements memberlist.Delegate; the rest of it is not used.
func (g *gossip) NodeMeta(limit int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, err := json.Marshal(g.own)
	if err != nil || len(b) > limit {
		panic("cluster: gossip metadata does not fit") // four small fields
	}
	return b
}
func (g *gossip) NotifyMsg([]byte)                {}
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }
func (g *gossip) LocalState(bool) []byte          { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)   {}

// gossipLink is memberlist's transport over a Network.
type gossipLink struct {
	network Network
	addr    netip.AddrPort
	pc      net.PacketConn
	l       net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	readers sync.WaitGroup
}

// errGossipClosed is deliberately not a net.OpError: memberlist takes those for
// the peer's failure.
var errGossipClosed = errors.New("gossip is closed")

func newGossipLink(n Network, advertise string) (*gossipLink, error) {
	addr, err := netip.ParseAddrPort(advertise)
	if err != nil {
		return nil, fmt.Errorf("advertise address: %w", err)
	}
	l, err := n.Listen(ProtoGossip)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip: %w", err)
	}
	pc, err := n.Packets()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("open gossip socket: %w", err)
	}
	g := &gossipLink{network: n, addr: addr, pc: pc, l: l, done: make(chan struct{}),
		packets: make(chan *memberlist.Packet, maxPackets), streams: make(chan net.Conn)}
	g.readers.Go(g.read)
	g.readers.Go(g.accept)
	return g, nil
}

func (g *gossipLink) read() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := g.pc.ReadFrom(buf)
		if err != nil {
			select {
			case <-g.done:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
				return
			}
			continue // an ICMP error of an earlier packet
		}
		p := &memberlist.Packet{Buf: bytes.Clone(buf[:n]), From: from, Timestamp: time.Now()}
		select {
		case g.packets <- p:
		default:
		}
	}
}

func (g *gossipLink) accept() {
	for {
		c, err := g.l.Accept()
		if err != nil {
			return
		}
		select {
		case g.streams <- c:
		case <-g.done:
			c.Close()
			return
		}
	}
}

// FinalAdvertiseAddr implements memberlist.Transport, as do the methods below.
func (g *gossipLink) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.addr.Addr().AsSlice(), int(g.addr.Port()), nil
}

func (g *gossipLink) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err == nil {
		_, err = g.pc.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	if errors.Is(err, net.ErrClosed) {
		err = errGossipClosed
	}
	return time.Now(), err
}

func (g *gossipLink) DialTimeout(addr string, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return g.network.Dial(ctx, addr, ProtoGossip)
}

func (g *gossipLink) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *gossipLink) StreamCh() <-chan net.Conn           { return g.streams }

func (g *gossipLink) Shutdown() error {
	g.once.Do(func() {
		close(g.done)
		g.pc.Close()
		g.l.Close()
		g.readers.Wait()
	})
	return nil
}

// newGossipLogger turns memberlist's "[LEVEL] memberlist: text" into slog.
func newGossipLogger(l *slog.Logger) *log.Logger {
	if !l.Enabled(context.Background(), slog.LevelError) {
		return log.New(io.Discard, "", 0)
	}
	return log.New(gossipLog{l}, "", 0)
}

type gossipLog struct{ *slog.Logger }

func (g gossipLog) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	level := slog.LevelDebug
	if strings.HasPrefix(text, "[ERR") {
		level = slog.LevelWarn
	}
	_, text, _ = strings.Cut(text, "] ")
	g.Log(context.Background(), level, text)
	return len(b), nil
}
