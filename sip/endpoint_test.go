package sip_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

func TestValidateNamesTheKey(t *testing.T) {
	n := newNetwork()
	for key, change := range map[string]func(*sip.Config){
		"Packet":  func(c *sip.Config) { c.Packet = nil },
		"Handler": func(c *sip.Config) { c.Handler = nil },
		"T1":      func(c *sip.Config) { c.T1 = -time.Second },
		"Shards":  func(c *sip.Config) { c.Shards = 2000 },
		"Public":  func(c *sip.Config) { c.Public = "203.0.113.1" },
		"public":  func(c *sip.Config) { c.Public = "203.0.113.1:5060\r\nX: 1" },

		"TLS.Server":        func(c *sip.Config) { c.TLS.Listener = n.listen("192.0.2.1:5061") },
		"TLS.Public":        func(c *sip.Config) { c.TLS.Public = "h" },
		"WebSocket.Origins": func(c *sip.Config) { c.WebSocket.Listener = n.listen("192.0.2.1:80") },
		"WebSocket.Public":  func(c *sip.Config) { c.WebSocket.Public = "h" },
		"Budget":            func(c *sip.Config) { c.Budget.Unknown = -1 },
	} {
		cfg := sip.Config{Packet: n.packet("192.0.2.1:5060"), Handler: &agent{}}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := sip.New(cfg); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestStoppedEndpointIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := &agent{addr: addr("192.0.2.1:5060")}
		e, err := sip.New(sip.Config{Packet: n.packet("192.0.2.1:5060"), Handler: a, Public: "203.0.113.1:5061"})
		if err != nil {
			t.Fatal(err)
		}
		a.Endpoint = e
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if _, err := e.Request(invite(t, a, a, "late"), sip.Options{}, nil); !errors.Is(err, sip.ErrBusy) {
			t.Errorf("request: %v", err)
		}
		if got := e.Contact("leg", sip.TCP); got != "sip:leg@203.0.113.1:5061;transport=tcp" {
			t.Errorf("contact %s", got)
		}
	})
}

// A handler that breaks the rule and blocks costs its shard's packets above the
// bound, not memory; afterwards the shard goes on.
func TestFullQueueDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) { c.Shards = 1 })
		gate := make(chan struct{})
		b.request = func(req *sip.Request, tx *sip.ServerTx) {
			<-gate
			tx.Respond(req.Response(200, "t"))
		}
		peer := n.packet("192.0.2.9:5060")
		n.send(peer.addr, b.addr, message(options))
		synctest.Wait()
		for range 5000 { // retransmissions
			n.send(peer.addr, b.addr, message(options))
		}
		synctest.Wait()
		if got := b.Stats().DroppedFull.Load(); got != 5000-4096 {
			t.Errorf("%d dropped, want what is above 4096", got)
		}
		close(gate)
		if got := peer.recv(); !strings.HasPrefix(got, "SIP/2.0 200 ") {
			t.Errorf("answer %q", got)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		d := p.talk(t)
		p.a.Endpoint.Request(d.Request("FROBNICATE"), sip.Options{}, nil)
		p.n.send(p.a.addr, p.b.addr, message("OPTIONS sip:2@192.0.2.2 SIP/7.0"))
		synctest.Wait()
		in := map[sip.Method]uint64{}
		p.b.Stats().RequestsIn.Each(func(m sip.Method, n uint64) { in[m] = n })
		if in["INVITE"] != 1 || in["ACK"] != 1 || in["OTHER"] != 1 || in["BYE"] != 0 {
			t.Errorf("requests %v", in)
		}
		if s := p.b.Stats(); s.ResponsesOut[1].Load() != 2 || s.ResponsesOut[2].Load() != 2 || s.Malformed[sip.MalformedVersion].Load() != 1 {
			t.Errorf("responses %d and %d", s.ResponsesOut[1].Load(), s.ResponsesOut[2].Load())
		}
		if got := sip.MalformedMisrouted.String(); got != "misrouted response" {
			t.Errorf("reason %q", got)
		}
	})
}
