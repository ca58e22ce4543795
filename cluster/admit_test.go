package cluster

import (
	"log/slog"
	"net"
	"testing"
)

// certified is a connection whose other end has proven its name.
type certified struct {
	net.Conn
	name string
}

func (c certified) Peer() string { return c.name }

// TestNobodySpeaksForAnother: the news of a node's exit, and all else, is taken
// only from a connection with that node's certificate.
func TestNobodySpeaksForAnother(t *testing.T) {
	r := newRPC(hello{node: "n3", cluster: "c", generation: 2}, nil, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		peer string
		says hello
		ok   bool
	}{
		{"n1", hello{"n1", "c", 2}, true},
		{"n1", hello{"n2", "c", 2}, false},
		{"n1", hello{"n1", "c", 1}, false},
		{"n1", hello{"n1", "d", 2}, false},
	} {
		from, err := r.admit(certified{name: c.peer}, encoded(c.says.code))
		if (err == nil) != c.ok || c.ok && from != c.peer {
			t.Errorf("certificate of %s, hello %+v: %q, %v", c.peer, c.says, from, err)
		}
	}
}
