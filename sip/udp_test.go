package sip_test

import (
	"context"
	"net"
	"testing"
	"time"

	"tandem/sip"
)

// The same endpoint on real sockets: what the bubbles cannot show is that
// addresses, deadlines and Close of the kernel's sockets fit.
func TestRealSockets(t *testing.T) {
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		a := realAgent(t, nil)
		b := realAgent(t, func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "t")) })
		done := make(chan int, 10)
		req := invite(t, a, b, "real")
		req.Method, req.Dest.Transport = sip.OPTIONS, transport
		if _, err := a.Endpoint.Request(req, sip.Options{FirstResponse: 5 * time.Second}, func(res *sip.Response, err error) {
			if err != nil {
				t.Error(err)
				done <- 0
				return
			}
			done <- res.Status
		}); err != nil {
			t.Fatal(err)
		}
		if status := <-done; status != 200 {
			t.Errorf("%s: %d", transport, status)
		}
	}
}

func realAgent(t testing.TB, request func(*sip.Request, *sip.ServerTx), change ...func(*sip.Config)) *agent {
	t.Helper()
	packet, stream := realSockets(t)
	a := &agent{addr: addr(packet.LocalAddr().String()), request: request}
	var err error
	cfg := sip.Config{Packet: packet, Listener: stream, Dial: new(net.Dialer).DialContext, Handler: a}
	for _, f := range change {
		f(&cfg)
	}
	a.Endpoint, err = sip.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

// realSockets opens a UDP and a TCP socket with the same port.
func realSockets(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 10 { // the port that the kernel picks for one may be taken for the other
		packet, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packet.LocalAddr().String())
		if err == nil {
			return packet, stream
		}
		packet.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}
