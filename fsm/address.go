package fsm

import (
	"cmp"
	"fmt"
	"slices"
)

// maxAddresses bounds the service addresses of the cluster: every member may
// have as many as its configuration.
const maxAddresses = maxMembers * maxAddrs

// checkAddresses refuses a configuration that cannot be served: what is no
// address, or has two homes.
func (s *State) checkAddresses(b *NodeUp) Result {
	if b.Witness && len(b.Addresses) > 0 {
		return invalid("addresses", "a witness serves none")
	}
	known := make(map[string]bool, len(b.Addresses))
	added := 0
	for _, a := range b.Addresses {
		switch a.Move {
		case "", MoveBind, MoveNetlink, MoveHook, MoveReinvite:
		default:
			return invalid("addresses", "move %q: bind, netlink, hook or reinvite", a.Move)
		}
		// One address, one name.
		if ip, ok := parseIP(a.IP); !ok || string(appendIP(nil, ip)) != a.IP {
			return invalid("addresses", "%q is no IP address in its usual form", a.IP)
		}
		if known[a.IP] {
			return invalid("addresses", "%s is named twice", a.IP)
		}
		known[a.IP] = true
		if old := s.addresses.get(a.IP); old == nil {
			added++
		} else if old.Home != "" && old.Home != b.Node {
			return refuse(Conflict, fmt.Sprintf("address %s is in the configuration of node %s, too", a.IP, old.Home))
		}
	}
	if s.addresses.count+added > maxAddresses {
		return refuse(Full, fmt.Sprintf("%d service addresses", maxAddresses))
	}
	return Result{}
}

// configure brings the addresses in line with the configuration of a node that is
// coming up. What another node serves stays there, and comes back by HandOver.
func (s *State) configure(b *NodeUp) {
	for _, own := range b.Addresses {
		a := s.addresses.edit(own.IP)
		if a == nil {
			a = s.addresses.put(own.IP, Address{IP: own.IP})
		}
		a.Home, a.Public, a.Move = b.Node, own.Public, own.Move
		if a.Move == "" {
			a.Move = MoveBind
		}
		if a.Owner == "" {
			s.serve(a, b.Node, b.Incarnation)
		}
	}
	configured := func(ip string) bool {
		return slices.ContainsFunc(b.Addresses, func(a ServiceAddress) bool { return a.IP == ip })
	}
	for _, ip := range s.addresses.keys() {
		a := s.addresses.get(ip)
		switch {
		case a.Owner == b.Node && a.Incarnation != b.Incarnation:
			s.serve(s.addresses.edit(ip), b.Node, b.Incarnation)
		case a.Home != b.Node:
			continue
		}
		if a.Home == b.Node && !configured(ip) {
			s.addresses.edit(ip).Home = ""
		}
	}
	s.sweepAddresses()
}

// serve gives an address to a process, or to nobody.
func (s *State) serve(a *Address, n NodeID, incarnation uint64) {
	a.Owner, a.Incarnation, a.Since = n, incarnation, s.now
	a.Epoch++
	s.event(Event{Kind: EventAddress, ID: a.IP, Node: n})
}

// sweepAddresses removes addresses that nobody has configured and that carry no
// calls.
func (s *State) sweepAddresses() {
	var homeless []string
	s.addresses.each(func(ip string, a *Address) {
		if a.Home == "" {
			homeless = append(homeless, ip)
		}
	})
	if len(homeless) == 0 {
		return
	}
	carries := map[string]bool{}
	s.calls.each(func(_ CallID, c *Call) { carries[c.Line] = true })
	slices.Sort(homeless)
	for _, ip := range homeless {
		if !carries[ip] {
			s.addresses.remove(ip)
			s.event(Event{Kind: EventAddress, ID: ip})
		}
	}
}

// addressesOf returns the addresses that a node serves, in order.
func (s *State) addressesOf(n NodeID) []string {
	var ips []string
	s.addresses.each(func(ip string, a *Address) {
		if a.Owner == n {
			ips = append(ips, ip)
		}
	})
	slices.Sort(ips)
	return ips
}

// handOver moves an address with its calls from its owner, who asks for it, to
// another node.
func (s *State) handOver(cmd *Command, b *HandOver) Result {
	a := s.addresses.get(b.IP)
	if a == nil {
		return refuse(NotFound, fmt.Sprintf("service address %q is not there", b.IP))
	}
	from, to := &cmd.Origin, s.members.get(b.To)
	switch {
	case to == nil:
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", b.To))
	case b.To == from.Node:
		return invalid("to", "node %s has it", b.To)
	case !to.Up:
		return refuse(Conflict, fmt.Sprintf("node %s is down", b.To))
	case to.Witness:
		return refuse(Conflict, fmt.Sprintf("node %s is a witness", b.To))
	case to.Draining:
		return refuse(Conflict, fmt.Sprintf("node %s is draining", b.To))
	}
	served := a.Owner == from.Node && a.Incarnation == from.Incarnation
	// One that cannot move may be away from home still, if it could before.
	moves := a.Move != MoveReinvite || served && b.To == a.Home
	if moves && !served {
		return refuse(StaleEpoch, a.served())
	}
	if moves {
		s.serve(s.addresses.edit(b.IP), to.Node, to.Incarnation)
	}
	n := s.move(from.Node, to, func(c *Call) bool { return c.Line == b.IP })
	s.inheritOrphans(from.Node, to, b.IP)
	s.sweepAddresses()
	return Result{Count: uint64(n)}
}

// served says who serves an address.
func (a *Address) served() string {
	return fmt.Sprintf("address %s is served by %s since epoch %d", a.IP, cmp.Or(string(a.Owner), "nobody"), a.Epoch)
}
