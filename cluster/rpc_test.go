package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
)

// serverAddr is where the server of a pair listens.
const serverAddr = "10.0.0.2:7946"

// pair runs two rpc ends, a at 10.0.0.1 and b at serverAddr.
func pair(t *testing.T, script func(t *testing.T, client, server *cluster.RPC)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		world := sim.New(sim.Config{})
		defer world.Close()
		handlers := map[string]cluster.Handler{
			"echo": func(_ context.Context, from string, req []byte) ([]byte, error) {
				return append([]byte(from+":"), req...), nil
			},
			"fail": func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("no such call") },
			"slow": func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"big": func(context.Context, string, []byte) ([]byte, error) { return make([]byte, cluster.MaxMessage+1), nil },
		}
		var ends []*cluster.RPC
		for i, id := range []string{"a", "b"} {
			host := world.Host(id, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
			r, err := cluster.ServeRPC(id, "c", network(host.Start()), handlers)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			ends = append(ends, r)
		}
		script(t, ends[0], ends[1])
	})
}

func TestCall(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *cluster.RPC) {
		ctx := context.Background()
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				req := bytes.Repeat([]byte{byte(i)}, i*50)
				got, err := c.Call(ctx, serverAddr, "echo", req)
				if err != nil || !bytes.Equal(got, append([]byte("a:"), req...)) {
					t.Errorf("call %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		all.Wait()
		var remote cluster.RemoteError
		if _, err := c.Call(ctx, serverAddr, "fail", nil); !errors.As(err, &remote) || remote != "no such call" {
			t.Errorf("handler's error: %v", err)
		}
		if _, err := c.Call(ctx, serverAddr, "nobody", nil); !errors.As(err, &remote) {
			t.Errorf("unknown name: %v", err)
		}
		if _, err := c.Call(ctx, serverAddr, "big", nil); !errors.As(err, &remote) {
			t.Errorf("oversized answer: %v", err)
		}
		if _, err := c.Call(ctx, serverAddr, "echo", make([]byte, cluster.MaxMessage+1)); err == nil {
			t.Error("an oversized request was sent")
		}
		if _, err := c.Call(ctx, serverAddr, "echo", make([]byte, cluster.MaxMessage-10)); err != nil {
			t.Errorf("largest request: %v", err)
		}
		if _, err := c.Call(ctx, "10.0.0.9:7946", "echo", nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("unknown host: %v", err)
		}
		start := time.Now()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := c.Call(short, serverAddr, "slow", nil); err == nil || time.Since(start) > time.Second {
			t.Errorf("slow handler: %v after %v", err, time.Since(start))
		}
	})
}

func TestCallAfterAConnectionBroke(t *testing.T) {
	pair(t, func(t *testing.T, c, server *cluster.RPC) {
		for range 3 {
			if _, err := c.Call(context.Background(), serverAddr, "echo", nil); err != nil {
				t.Error(err)
			}
			server.HangUp()
			time.Sleep(time.Millisecond) // the break has been seen
		}
	})
}

// TestOtherClustersAreRefused also without TLS, as in a simulator.
func TestOtherClustersAreRefused(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *cluster.RPC) {
		c.Pose("c", 2)
		if _, err := c.Call(context.Background(), serverAddr, "echo", nil); err == nil {
			t.Error("another generation was served")
		}
		c.Pose("d", 1)
		if _, err := c.Call(context.Background(), serverAddr, "echo", nil); err == nil {
			t.Error("another cluster was served")
		}
	})
}

// TestHostileFrames: garbage ends the connection and nothing else.
func TestHostileFrames(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *cluster.RPC) {
		hi := cluster.HelloFrame("a", "c", 1)
		for _, b := range [][]byte{
			{0xff, 0xff, 0xff, 0xff},
			{0, 0, 0, 1, 0xff},
			append(bytes.Clone(hi), 0, 0, 0, 3, 1, 2, 3),
			append(bytes.Clone(hi), 0x7f, 0, 0, 0),
			{0, 0},
		} {
			conn, err := c.Dial(context.Background(), serverAddr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(b); err != nil {
				t.Logf("closed while writing: %v", err)
			}
			if len(b) > 2 {
				if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read: %v", err)
				}
			}
			conn.Close()
		}
		if _, err := c.Call(context.Background(), serverAddr, "echo", nil); err != nil {
			t.Errorf("after the garbage: %v", err)
		}
	})
}
