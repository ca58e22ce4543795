package media

import (
	"fmt"
	"net/netip"
	"slices"
)

// minPort is the lowest port that media may use: below it live services that a
// relay must not be aimed at.
const minPort = 1024

// isPrivate reports whether an address has no meaning outside its network: RFC
// 1918, RFC 4193, link-local, and the carrier-grade NAT space of RFC 6598.
// Loopback does not count: there is no NAT before it.
func isPrivate(ip netip.Addr) bool {
	shared := ip.Is4() && ip.As4()[0] == 100 && ip.As4()[1]&0xc0 == 64
	return shared || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

// checkDestination is the policy of [Relay.Check]: a relay must not become an
// amplifier or a scanner at the command of an SDP.
func (r *Relay) checkDestination(addr netip.AddrPort) error {
	ip, port := addr.Addr().Unmap(), addr.Port()
	deny := func(why string) error {
		return fmt.Errorf("%s: %s: %w", addr, why, ErrDestination)
	}
	switch {
	case !ip.IsValid():
		return deny("no address")
	case ip.IsUnspecified():
		return nil
	case port < minPort:
		return deny(fmt.Sprintf("port below %d", minPort))
	case ip.Is4() != r.cfg.IP.Is4():
		return deny("other address family than the service address")
	case ip.IsMulticast():
		return deny("multicast")
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || ip.Is4() && ip.As4()[0] == 0:
		return deny("broadcast")
	case ip.IsLoopback() && !r.cfg.IP.IsLoopback():
		return deny("loopback")
	case ip.IsLinkLocalUnicast():
		return deny("link-local")
	case ip == r.cfg.IP && port >= r.cfg.Ports.First && port <= r.cfg.Ports.Last,
		ip == r.cfg.Advertise && port >= r.cfg.Ports.First && port <= r.cfg.Ports.Last:
		return deny("this relay's own port")
	case slices.ContainsFunc(r.cfg.Denied, func(p netip.Prefix) bool { return p.Contains(ip) }):
		return deny("denied network")
	}
	return nil
}
