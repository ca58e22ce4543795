package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the configuration.
const (
	maxName      = 64 // a node's name travels in every log entry
	maxAddresses = 16
	maxDrain     = time.Hour
	maxHold      = 30 * time.Second // callers give up after 32 s (RFC 3261 timer B)
)

// Validate says what is wrong with the first bad key, as an *Error without a
// file name.
func (c *Config) Validate() error {
	checks := []func() (key, problem string){
		c.checkNode, c.checkCluster, c.checkAddresses, c.checkSIP, c.checkMedia, c.checkHTTP, c.checkLog,
	}
	for _, check := range checks {
		if key, problem := check(); problem != "" {
			return &Error{Key: key, Problem: problem}
		}
	}
	return nil
}

func (c *Config) checkNode() (key, problem string) {
	if len(c.Node.Name) > maxName || strings.ContainsFunc(c.Node.Name, notNameRune) {
		return "node.name", fmt.Sprintf("%q: want 1 to %d letters, digits, '-', '_' or '.'", c.Node.Name, maxName)
	}
	if d := c.Node.Drain; d != nil && (*d < 0 || time.Duration(*d) > maxDrain) {
		return "node.drain", fmt.Sprintf("%v: want 0s to %v", time.Duration(*d), maxDrain)
	}
	return oneOf("node.role", c.Node.Role, "full", "witness")
}

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

func (c *Config) checkCluster() (key, problem string) {
	ip, err := netip.ParseAddr(c.Cluster.Bind)
	if err != nil {
		return "cluster.bind", fmt.Sprintf("%q is not an IP address", c.Cluster.Bind)
	}
	if ip.IsUnspecified() {
		return "cluster.bind", "must be an address that peers can reach, not " + c.Cluster.Bind
	}
	if c.Cluster.Expect < 0 || c.Cluster.Expect > 9 {
		return "cluster.expect", "want 0 (join only) to 9 voters"
	}
	if c.Cluster.Expect > 1 && len(c.Cluster.Join) == 0 {
		return "cluster.join", fmt.Sprintf("is empty, but expect = %d nodes must find each other", c.Cluster.Expect)
	}
	if c.Cluster.Expect == 0 && len(c.Cluster.Join) == 0 {
		return "cluster.expect", "is 0 and join is empty: this node can neither start a cluster nor join one"
	}
	return "", ""
}

func (c *Config) checkAddresses() (key, problem string) {
	if len(c.Address) == 0 && !c.Witness() {
		return "address", "is missing: a full node needs at least one [[address]] with an ip"
	}
	if len(c.Address) > maxAddresses {
		return "address", fmt.Sprintf("has %d entries, the most are %d", len(c.Address), maxAddresses)
	}
	seen := map[netip.Addr]bool{}
	for i, a := range c.Address {
		ip, err := netip.ParseAddr(a.IP)
		if err != nil || ip.IsUnspecified() {
			return "address.ip", fmt.Sprintf("entry %d: %q is not an IP address (wildcards are not allowed)", i+1, a.IP)
		}
		if seen[ip] {
			return "address.ip", a.IP + " is there twice"
		}
		seen[ip] = true
		if _, err := netip.ParseAddr(a.Public); err != nil {
			return "address.public", fmt.Sprintf("%q is not an IP address", a.Public)
		}
		if key, problem := oneOf("address.move", a.Move, "bind", "netlink", "hook", "reinvite"); problem != "" {
			return key, problem
		}
		if a.Move == "hook" && a.Hook == "" {
			return "address.hook", "is missing: move = \"hook\" needs a program"
		}
		if a.Move == "netlink" && a.Interface == "" {
			return "address.interface", "is missing: move = \"netlink\" needs an interface"
		}
	}
	return "", ""
}

func (c *Config) checkSIP() (key, problem string) {
	for _, t := range c.SIP.Transports {
		if key, problem := oneOf("sip.transports", t, "udp", "tcp", "tls", "ws", "wss"); problem != "" {
			return key, problem
		}
	}
	if len(c.SIP.Transports) == 0 || !slices.Contains(c.SIP.Transports, "udp") {
		return "sip.transports", "must contain \"udp\""
	}
	if key, problem := c.checkSecure(); problem != "" {
		return key, problem
	}
	if h := time.Duration(c.SIP.Hold); h < 0 || h > maxHold {
		return "sip.hold", fmt.Sprintf("%v: want 0s to %v", h, maxHold)
	}
	if c.SIP.MaxCalls < 0 {
		return "sip.max_calls", "must not be negative"
	}
	if c.SIP.MaxCPS < 0 {
		return "sip.max_cps", "must not be negative"
	}
	for _, n := range c.SIP.Trusted {
		if _, err := netip.ParsePrefix(n); err != nil {
			return "sip.trusted", fmt.Sprintf("%q is not a network such as 192.0.2.0/24", n)
		}
	}
	return "", ""
}

// checkSecure wants what TLS and WebSocket cannot do without.
func (c *Config) checkSecure() (key, problem string) {
	ws, wss := slices.Contains(c.SIP.Transports, "ws"), slices.Contains(c.SIP.Transports, "wss")
	encrypted := wss || slices.Contains(c.SIP.Transports, "tls")
	switch {
	case ws && wss:
		return "sip.transports", "ws and wss share a port: want one of them"
	case encrypted && c.SIP.Certificate == "":
		return "sip.certificate", "is missing: tls and wss need a PEM file"
	case encrypted && c.SIP.Key == "":
		return "sip.key", "is missing: tls and wss need a PEM file"
	case (ws || wss) && len(c.SIP.Origins) == 0:
		return "sip.origins", "is missing: which web pages may call, for example [\"https://phone.example.com\"]; \"*\" lets all"
	}
	return "", ""
}

func (c *Config) checkMedia() (key, problem string) {
	first, last, ok := c.Media.Range()
	if !ok || first < 1024 || first%2 != 0 || last <= first {
		return "media.ports", fmt.Sprintf("%q: want \"FIRST-LAST\", FIRST even and at least 1024", c.Media.Ports)
	}
	return "", ""
}

// Range returns the ports of the relay, both ends included.
func (m Media) Range() (first, last uint16, ok bool) {
	a, b, found := strings.Cut(m.Ports, "-")
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	return uint16(x), uint16(y), found && err1 == nil && err2 == nil
}

func (c *Config) checkHTTP() (key, problem string) {
	if _, err := netip.ParseAddrPort(c.HTTP.Listen); err != nil {
		return "http.listen", fmt.Sprintf("%q is not an IP:port", c.HTTP.Listen)
	}
	return "", ""
}

func (c *Config) checkLog() (key, problem string) {
	if key, problem := oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"); problem != "" {
		return key, problem
	}
	return oneOf("log.format", c.Log.Format, "", "text", "json")
}

func oneOf(key, got string, want ...string) (string, string) {
	if slices.Contains(want, got) {
		return "", ""
	}
	return key, fmt.Sprintf("%q: want one of %s", got, strings.Join(want, ", "))
}

// find returns the line of a key ("table.key") in a text and an excerpt with a
// caret below it. A key that is not written down has no line.
func find(text []byte, key string) (int, string) {
	table, name, ok := strings.Cut(key, ".")
	if !ok {
		return 0, ""
	}
	in := false
	for i, line := range bytes.Split(text, []byte("\n")) {
		trimmed := strings.TrimSpace(string(line))
		if strings.HasPrefix(trimmed, "[") {
			head, _, _ := strings.Cut(trimmed, "#")
			in = strings.Trim(head, "[] \t") == table
			continue
		}
		if k, _, ok := strings.Cut(trimmed, "="); in && ok && strings.TrimSpace(k) == name {
			col := strings.Index(string(line), name)
			return i + 1, fmt.Sprintf("%d| %s\n%s%s", i+1, line,
				strings.Repeat(" ", len(strconv.Itoa(i+1))+2+col), strings.Repeat("^", len(name)))
		}
	}
	return 0, ""
}
