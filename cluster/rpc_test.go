package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm/wire"
)

// pair runs two rpc ends.
func pair(t *testing.T, script func(t *testing.T, client *rpc, server *rpc, host *memHost)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var ends []*rpc
		var listeners []net.Listener
		var hosts []*memHost
		for _, id := range []string{"a", "b"} {
			h := n.host(id)
			l, err := h.Listen(ProtoRPC)
			if err != nil {
				t.Fatal(err)
			}
			r := newRPC(hello{node: id, cluster: "c", generation: 1}, h, slog.New(slog.DiscardHandler))
			r.handle("echo", func(_ context.Context, from string, req []byte) ([]byte, error) {
				return append([]byte(from+":"), req...), nil
			})
			r.handle("fail", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("no such call") })
			r.handle("slow", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			r.handle("big", func(context.Context, string, []byte) ([]byte, error) { return make([]byte, MaxMessage+1), nil })
			r.start(l)
			ends, listeners, hosts = append(ends, r), append(listeners, l), append(hosts, h)
		}
		script(t, ends[0], ends[1], hosts[1])
		for i, r := range ends {
			r.close(listeners[i])
		}
	})
}

func TestCall(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *rpc, _ *memHost) {
		ctx := context.Background()
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				req := bytes.Repeat([]byte{byte(i)}, i*50)
				got, err := c.call(ctx, "b", "echo", req)
				if err != nil || !bytes.Equal(got, append([]byte("a:"), req...)) {
					t.Errorf("call %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		all.Wait()
		var remote RemoteError
		if _, err := c.call(ctx, "b", "fail", nil); !errors.As(err, &remote) || remote != "no such call" {
			t.Errorf("handler's error: %v", err)
		}
		if _, err := c.call(ctx, "b", "nobody", nil); !errors.As(err, &remote) {
			t.Errorf("unknown name: %v", err)
		}
		if _, err := c.call(ctx, "b", "big", nil); !errors.As(err, &remote) {
			t.Errorf("oversized answer: %v", err)
		}
		if _, err := c.call(ctx, "b", "echo", make([]byte, MaxMessage+1)); err == nil {
			t.Error("an oversized request was sent")
		}
		if _, err := c.call(ctx, "b", "echo", make([]byte, MaxMessage-10)); err != nil {
			t.Errorf("largest request: %v", err)
		}
		if _, err := c.call(ctx, "z", "echo", nil); !errors.Is(err, errUnreachable) {
			t.Errorf("unknown host: %v", err)
		}
		start := time.Now()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := c.call(short, "b", "slow", nil); err == nil || time.Since(start) > time.Second {
			t.Errorf("slow handler: %v after %v", err, time.Since(start))
		}
	})
}

func TestCallAfterAConnectionBroke(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *rpc, host *memHost) {
		for range 3 {
			if _, err := c.call(context.Background(), "b", "echo", nil); err != nil {
				t.Error(err)
			}
			host.breakStreams(func(string) bool { return true })
			synctest.Wait() // the break has been seen
		}
	})
}

// TestOtherClustersAreRefused also without TLS, as in a simulator.
func TestOtherClustersAreRefused(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *rpc, _ *memHost) {
		c.self.generation = 2
		if _, err := c.call(context.Background(), "b", "echo", nil); err == nil {
			t.Error("another generation was served")
		}
		c.self.generation, c.self.cluster = 1, "d"
		if _, err := c.call(context.Background(), "b", "echo", nil); err == nil {
			t.Error("another cluster was served")
		}
	})
}

// TestHostileFrames: garbage ends the connection and nothing else.
func TestHostileFrames(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *rpc, _ *memHost) {
		hi := frame((&hello{node: "a", cluster: "c", generation: 1}).code)
		for _, b := range [][]byte{
			{0xff, 0xff, 0xff, 0xff},
			{0, 0, 0, 1, 0xff},
			append(bytes.Clone(hi), 0, 0, 0, 3, 1, 2, 3),
			append(bytes.Clone(hi), 0x7f, 0, 0, 0),
			{0, 0},
		} {
			conn, err := c.network.Dial(context.Background(), "b", ProtoRPC)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(b); err != nil {
				t.Logf("closed while writing: %v", err)
			}
			if len(b) > 2 {
				if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("read: %v", err)
				}
			}
			conn.Close()
		}
		if _, err := c.call(context.Background(), "b", "echo", nil); err != nil {
			t.Errorf("after the garbage: %v", err)
		}
	})
}

// FuzzMessages: what peers send is decoded or refused, and re-encoded the same.
func FuzzMessages(f *testing.F) {
	shapes := []func() interface{ code(*wire.Codec) }{
		func() interface{ code(*wire.Codec) } { return new(message) },
		func() interface{ code(*wire.Codec) } { return new(hello) },
		func() interface{ code(*wire.Codec) } { return new(pong) },
		func() interface{ code(*wire.Codec) } { return new(request) },
		func() interface{ code(*wire.Codec) } { return new(outcome) },
	}
	for i, m := range []interface{ code(*wire.Codec) }{
		&message{id: 7, kind: kindRequest, name: "x", body: []byte("y")},
		&hello{node: "n1", cluster: "c", generation: 3},
		&pong{ID: "n1", Wall: 1, Live: true, Checks: []Checkpoint{{Index: 1024}}},
		&request{lane: LaneStart, flow: "gw", envelope: []byte("e")},
		&outcome{index: 9, data: []byte("r")},
	} {
		w := wire.Encoder(nil)
		m.code(w)
		f.Add(uint8(i), w.Buffer())
	}
	f.Fuzz(func(t *testing.T, shape uint8, b []byte) {
		m := shapes[int(shape)%len(shapes)]()
		d := wire.Decoder(b)
		m.code(d)
		if d.Finish() != nil {
			return
		}
		w := wire.Encoder(nil)
		m.code(w)
		if !bytes.Equal(w.Buffer(), b) {
			t.Errorf("%x is encoded as %x", b, w.Buffer())
		}
	})
}
