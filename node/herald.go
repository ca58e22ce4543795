package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"tandem/cluster"
	"tandem/cluster/transport"
	"tandem/node/address"
	"tandem/node/config"
	"tandem/node/watchman"
)

// OpenHerald makes the voice by which a node's guard process speaks to the peers,
// from the same files as the node itself.
func OpenHerald(file config.Config, log *slog.Logger) (*cluster.Herald, error) {
	o := &opening{file: file, log: log}
	id, creds, err := o.identity()
	if err != nil {
		return nil, err
	}
	network, err := transport.NewDialer(transport.Config{
		Credentials: creds, Generation: id.Generation, Logger: log,
		// Peers see the guard come from the node's own address, as their firewalls
		// expect.
		From: &net.TCPAddr{IP: net.ParseIP(file.Cluster.Bind)},
	})
	if err != nil {
		return nil, err
	}
	return cluster.NewHerald(cluster.HeraldConfig{
		ID: file.Node.Name, ClusterID: id.ClusterID, Generation: id.Generation, Network: network, Logger: log,
	}), nil
}

// News is what the node's guard process has to know.
func (n *Node) News() watchman.News {
	news := watchman.News{Incarnation: n.cluster.Incarnation(), Peers: []string{}}
	for _, m := range n.cluster.Status().Members {
		if m.ID != string(n.id) {
			news.Peers = append(news.Peers, m.Addr)
		}
	}
	for _, a := range n.opts.Addresses {
		news.Took = append(news.Took, a.IP.String())
	}
	for _, l := range n.lines.all() { // taken over from others
		if ip := l.ip.String(); !slices.Contains(news.Took, ip) {
			news.Took = append(news.Took, ip)
		}
	}
	return news
}

// TakeOff returns what removes service addresses that a dead node has left on
// this machine's interfaces. An address that a hook moves is none of them: the
// survivor's hook takes it.
func TakeOff(file config.Config, log *slog.Logger) (func(ctx context.Context, ips []string) error, error) {
	var movers []address.Mover
	for _, a := range file.Address {
		if a.Move != address.Netlink {
			continue
		}
		m, err := address.New(address.Config{Interface: a.Interface, Logger: log})(address.Netlink)
		if err != nil {
			return nil, err
		}
		movers = append(movers, m)
	}
	return func(ctx context.Context, ips []string) error {
		var errs []error
		for _, m := range movers {
			for _, text := range ips {
				ip, err := netip.ParseAddr(text)
				if err == nil {
					err = m.Remove(ctx, ip)
				}
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}, nil
}
