package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"tandem/cluster"
	"tandem/cluster/pki"
)

func issue(t *testing.T, ca pki.CA, node string) pki.Credentials {
	t.Helper()
	c, err := ca.IssueNode(node, []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCA(t *testing.T, id string) pki.CA {
	t.Helper()
	ca, err := pki.CreateCA(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func open(t *testing.T, cred pki.Credentials, generation uint32) (*Network, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Credentials: cred, Generation: generation, Stream: l, Datagram: pc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, l.Addr().String()
}

// works says whether from can talk to the server behind addr: with TLS 1.3 a
// client learns only from the first read that its certificate was refused.
func works(from *Network, addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := from.Dial(ctx, addr, cluster.ProtoRPC)
	if err != nil {
		return err
	}
	defer c.Close()
	return roundTrip(c)
}

func roundTrip(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// echo answers every rpc connection and reports its peer.
func echo(t *testing.T, n *Network) <-chan string {
	t.Helper()
	peers := make(chan string, 16)
	l, err := n.Listen(cluster.ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			peers <- c.(*Conn).Peer()
			_, _ = io.CopyN(c, c, 4)
			c.Close()
		}
	}()
	return peers
}

func TestOnlyMembersGetIn(t *testing.T) {
	ca := newCA(t, "c1")
	server, addr := open(t, issue(t, ca, "n1"), 1)
	peers := echo(t, server)
	member, _ := open(t, issue(t, ca, "n2"), 1)
	if err := works(member, addr); err != nil {
		t.Fatalf("a member is refused: %v", err)
	}
	if p := <-peers; p != "n2" {
		t.Errorf("peer is %q, want n2", p)
	}
	foreign, _ := open(t, issue(t, newCA(t, "c1"), "n2"), 1)
	other, _ := open(t, issue(t, newCA(t, "c2"), "n2"), 1)
	older, _ := open(t, issue(t, ca, "n2"), 2)
	for name, n := range map[string]*Network{"foreign CA of the same name": foreign, "other cluster": other, "other generation": older} {
		if err := works(n, addr); err == nil {
			t.Errorf("%s: was let in", name)
		}
	}
	raw, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{server.alpn(cluster.ProtoRPC)}})
	if err == nil {
		err = roundTrip(raw)
		raw.Close()
	}
	if err == nil {
		t.Error("a peer without a certificate was let in")
	}
	select {
	case p := <-peers:
		t.Errorf("a refused peer reached the server as %q", p)
	default:
	}
}

// TestAMemberChecksTheServer: a member does not talk to a stranger either.
func TestAMemberChecksTheServer(t *testing.T) {
	stranger, addr := open(t, issue(t, newCA(t, "c1"), "n1"), 1)
	echo(t, stranger)
	member, _ := open(t, issue(t, newCA(t, "c1"), "n2"), 1)
	if err := works(member, addr); err == nil {
		t.Error("a member talks to a server of a foreign CA")
	}
}

func TestProtocolsShareThePort(t *testing.T) {
	ca := newCA(t, "c1")
	server, addr := open(t, issue(t, ca, "n1"), 1)
	client, _ := open(t, issue(t, ca, "n2"), 1)
	for _, p := range []cluster.Proto{cluster.ProtoRaft, cluster.ProtoGossip, cluster.ProtoRPC} {
		l, err := server.Listen(p)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial(context.Background(), addr, p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if name := got.(*Conn).ConnectionState().NegotiatedProtocol; name != server.alpn(p) {
			t.Errorf("listener of %s got %s", p, name)
		}
		c.Close()
		got.Close()
	}
}

func TestSilentPeerDoesNotHoldUpClose(t *testing.T) {
	server, addr := open(t, issue(t, newCA(t, "c1"), "n1"), 1)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("close took %v", d)
	}
}
