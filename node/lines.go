package node

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// lineGrace is how long the sockets of an address that was handed over stay open:
// the relay goes on until everybody has learned the new place.
const lineGrace = 2 * time.Second

// lines are the service addresses that this node serves, or is about to leave.
// Only the reconciliation opens and leaves them; everybody may look.
type lines struct {
	mu      sync.Mutex // guards what follows
	open    map[netip.Addr]*line
	leaving map[*line]struct{}
}

func newLines() *lines {
	return &lines{open: map[netip.Addr]*line{}, leaving: map[*line]struct{}{}}
}

// all returns the lines that are open, by address.
func (ls *lines) all() []*line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.SortedFunc(maps.Values(ls.open), func(a, b *line) int { return a.ip.Compare(b.ip) })
}

func (ls *lines) get(ip netip.Addr) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.open[ip]
}

func (ls *lines) add(l *line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open[l.ip] = l
}

// leave takes a line out of those that are open; it is forgotten when it is done.
func (ls *lines) leave(l *line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.open[l.ip] == l {
		delete(ls.open, l.ip)
	}
	ls.leaving[l] = struct{}{}
}

func (ls *lines) forget(l *line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.leaving, l)
}

// former returns the line of an address that is being left, or nil.
func (ls *lines) former(ip netip.Addr) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.leaving {
		if l.ip == ip {
			return l
		}
	}
	return nil
}

// count returns how many lines there are, and how many are being left.
func (ls *lines) count() (open, leaving int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.open), len(ls.leaving)
}

// sip and media are what the metrics read.
func (ls *lines) sip() (all []*sip.Stats) {
	for _, l := range ls.all() {
		all = append(all, l.endpoint.Stats())
	}
	return all
}

func (ls *lines) media() (all []media.Totals) {
	for _, l := range ls.all() {
		all = append(all, l.relay.Totals())
	}
	return all
}

// serveLines opens the service addresses that the state gives to this process and
// leaves the others. It opens nothing without a lease (ARCHITECTURE.md, rule 17).
func (n *Node) serveLines(ctx context.Context) {
	if n.calls == nil || !n.announced() {
		return
	}
	mine := map[netip.Addr]fsm.Address{}
	n.replica.View(func(s *fsm.State) {
		for _, a := range s.Addresses() {
			ip, err := netip.ParseAddr(a.IP)
			switch {
			case err != nil: // Apply has checked it
			case a.Owner == n.id && a.Incarnation == n.cluster.Incarnation():
				mine[ip] = a
			default:
				n.former[ip] = a.Owner
			}
		}
	})
	for _, l := range n.lines.all() {
		a, ok := mine[l.ip]
		switch {
		case !ok:
			n.leaveLine(l, n.movedOn(l.ip))
		case a.Public != l.address.Public || a.Move != l.address.Move:
			n.leaveLine(l, false) // its configuration has changed with a restart of its home
		case l.failed():
			n.leaveLine(l, false)
		}
	}
	if !n.Serving() {
		return
	}
	for _, ip := range slices.SortedFunc(maps.Keys(mine), netip.Addr.Compare) {
		if n.lines.get(ip) == nil {
			n.takeLine(ctx, mine[ip])
		}
	}
}

// movedOn says that an address has another owner to whom it was handed over. Who
// was declared dead lets go at once.
func (n *Node) movedOn(ip netip.Addr) (moved bool) {
	n.replica.View(func(s *fsm.State) {
		a, ok := s.Address(ip.String())
		m, _ := s.Member(n.id)
		moved = ok && a.Owner != "" && a.Owner != n.id && m.Up && m.Incarnation == n.cluster.Incarnation()
	})
	return moved
}

// takeLine opens a service address and brings its calls to life.
func (n *Node) takeLine(ctx context.Context, a fsm.Address) {
	began := time.Now()
	l, err := n.openLine(a)
	if err != nil {
		n.log.Error("service address not opened", "ip", a.IP, "err", err)
		return // tried again at the next look
	}
	n.lines.add(l)
	l.start(ctx)
	calls := n.adoptLine(l)
	n.figures.taken.Add(1)
	n.log.Info("service address opened", "ip", a.IP, "epoch", a.Epoch, "calls", calls, "took", time.Since(began))
}

// leaveLine ends the service of an address. One that was handed over goes on
// relaying for a grace, and stays on this host until the new owner has it.
func (n *Node) leaveLine(l *line, handed bool) {
	n.lines.leave(l)
	n.calls.Remove(l.served)
	l.leave(handed, func() { n.lines.forget(l) })
	n.log.Info("service address left", "ip", l.ip, "handed over", handed)
}

// leaveAll ends the service of all addresses and waits until it has ended.
func (n *Node) leaveAll() {
	for _, l := range n.lines.all() {
		n.leaveLine(l, false)
	}
	n.lines.mu.Lock()
	left := slices.Collect(maps.Keys(n.lines.leaving))
	n.lines.mu.Unlock()
	for _, l := range left {
		l.end()
	}
}
