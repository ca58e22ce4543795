package sip

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// Datagrams of several peers come out whole and with their addresses, over both
// families, and go back in one batch that holds one for nobody.
func TestBatchesOnRealSockets(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		conn, err := net.ListenPacket("udp", host)
		if err != nil {
			t.Logf("no %s here: %v", host, err)
			continue
		}
		defer conn.Close()
		at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		const peers = 40 // more than a batch
		var ends []*net.UDPConn
		for i := range peers {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), 0)))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ends = append(ends, c)
			if _, err := c.WriteToUDPAddrPort(fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte{'x'}, 100*i)), at); err != nil {
				t.Fatal(err)
			}
		}
		r, w := newReader(conn), newWriter(conn)
		var batch []outgoing
		for seen := 0; seen < peers; {
			n, err := r.read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				raw, src := r.datagram(i)
				if want := fmt.Sprintf("%d ", seen); !bytes.HasPrefix(raw, []byte(want)) || len(raw) != len(want)+100*seen || src != unmap(ends[seen].LocalAddr().(*net.UDPAddr).AddrPort()) {
					t.Fatalf("datagram %d is %.10q, %d bytes from %s", seen, raw, len(raw), src)
				}
				seen++
				batch = append(batch, outgoing{packet: packet{raw: bytes.Clone(raw), dest: Peer{UDP, src}}})
			}
		}
		foreign := netip.MustParseAddrPort("[2001:db8::1]:9") // no way for the IPv4 socket, nor to it
		batch[20].dest.Addr = foreign
		for rest := batch; len(rest) > 0; {
			n, err := w.write(rest)
			if err != nil && rest[n].dest.Addr == foreign {
				n++
			} else if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		buf := make([]byte, maxMessage)
		for i, c := range ends {
			if i == 20 {
				continue
			}
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := c.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], batch[i].raw) {
				t.Fatalf("peer %d got %d bytes, %v", i, n, err)
			}
		}
	}
}

func BenchmarkReadBatch(b *testing.B) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer peer.Close()
	w, r := newWriter(peer), newReader(conn)
	var batch []outgoing
	for range batchSize {
		batch = append(batch, outgoing{packet: packet{raw: []byte(fuzzInvite), dest: Peer{UDP, to}}})
	}
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left > 0 {
			continue
		}
		if _, err := w.write(batch); err != nil {
			b.Fatal(err)
		}
		n, err := r.read()
		if err != nil {
			b.Fatal(err)
		}
		left = n
	}
}
