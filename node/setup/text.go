package setup

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The ports of a node whose plan says nothing.
const (
	clusterPort = 7946
	sipPort     = 5060
	httpPort    = 8443
	mediaPorts  = "20000-39999"
)

// text is a node's configuration file. The nodes of a new cluster wait for each
// other; a node that is added joins those that are there.
func (cfg *Config) text(n Node, dir string, old []string) []byte {
	port := cmp.Or(cfg.Ports.Cluster, clusterPort)
	join, expect := old, 0
	if len(old) == 0 {
		expect = len(cfg.Nodes)
	}
	for _, peer := range cfg.Nodes {
		if peer.Name != n.Name {
			join = append(join[:len(join):len(join)], netip.AddrPortFrom(peer.IP, port).String())
		}
	}
	quoted := make([]string, len(join))
	for i, j := range join {
		quoted[i] = strconv.Quote(j)
	}
	return fmt.Appendf(nil, `# Tandem, node %[1]s. What is not here is at its default;
# accounts, gateways, rates and parameters live in the cluster, not in this file.

[node]
name     = %[2]q
data_dir = %[3]q

[cluster]                     # TCP and UDP between the nodes
bind   = "%[4]s"
port   = %[5]d
join   = [%[6]s]
expect = %[7]d                    # nodes that found the cluster together; 0: join only

[[address]]                   # where customers and carriers find the node
ip = "%[4]s"

[sip]
port       = %[8]d
transports = ["udp", "tcp"]

[media]
ports = %[9]q

[http]                        # API and metrics; TLS unless the address is a loopback one
listen = "%[10]s"
`, n.Name, n.Name, cmp.Or(cfg.DataDir, dir), n.IP, port, strings.Join(quoted, ", "), expect,
		cmp.Or(cfg.Ports.SIP, sipPort), cmp.Or(cfg.Ports.Media, mediaPorts),
		netip.AddrPortFrom(n.IP, cmp.Or(cfg.Ports.HTTP, httpPort)))
}
