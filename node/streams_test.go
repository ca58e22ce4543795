package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// oneHost is a network with one TCP port, which may be taken.
type oneHost struct {
	Network
	mu    sync.Mutex
	taken bool
	open  *pipes
}

func (h *oneHost) Listen(netip.AddrPort) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken {
		return nil, errors.New("in use")
	}
	h.taken, h.open = true, &pipes{host: h, conns: make(chan net.Conn), ended: make(chan struct{})}
	return h.open, nil
}

func (h *oneHost) Dial(context.Context, netip.Addr, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go io.Copy(io.Discard, far) //nolint:errcheck // ends with the pipe
	return near, nil
}

// port returns the listener, and whether the port is taken.
func (h *oneHost) port() (*pipes, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open, h.taken
}

func (h *oneHost) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken = false
}

// pipes is its listener.
type pipes struct {
	host  *oneHost
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended); p.host.release() })
	return nil
}

func (p *pipes) Addr() net.Addr { return nil }

// ended says whether the far end of a connection was closed.
func ended(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // a pipe
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// TestStreamsAreCutWhenTheAddressMoves: the port opens once the former owner has
// let go of it, and what is connected ends when the address goes on.
func TestStreamsAreCutWhenTheAddressMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &oneHost{taken: true}
		s := newStreams(host, netip.MustParseAddrPort("192.0.2.1:5060"), true)
		accepted := make(chan error, 1)
		go func() {
			for {
				if _, err := s.Accept(); err != nil {
					accepted <- err
					return
				}
			}
		}()
		time.Sleep(time.Second)
		host.release() // the former owner
		time.Sleep(2 * listenAgain)
		connect := func() net.Conn {
			near, far := net.Pipe()
			port, _ := host.port()
			port.conns <- near
			synctest.Wait()
			return far
		}
		peer := connect()
		s.Reset()
		if !ended(peer) {
			t.Error("a connection outlives the lease")
		}
		peer = connect()
		own, err := s.Dial(t.Context(), "tcp", "192.0.2.9:5060")
		if err != nil {
			t.Fatal(err)
		}
		s.Cut()
		if _, err := own.Write([]byte("x")); !ended(peer) || err == nil {
			t.Error("a connection outlives the address")
		}
		if _, err := s.Dial(t.Context(), "tcp", "192.0.2.9:5060"); err == nil {
			t.Error("dialled from an address that is gone")
		}
		synctest.Wait()
		if _, taken := host.port(); taken || len(accepted) != 0 {
			t.Error("the port is not free, or the endpoint was told of an error")
		}
		if err := s.Close(); err != nil || !errors.Is(<-accepted, net.ErrClosed) {
			t.Error("Accept does not end with Close")
		}
	})
}
