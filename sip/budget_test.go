package sip

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a handler that leaves all unanswered.
type silent struct{}

func (silent) Request(*Request, *ServerTx)  {}
func (silent) Canceled(*ServerTx, *Request) {}
func (silent) AckTimeout(*ServerTx)         {}
func (silent) StrayResponse(*Response)      {}

// still makes an endpoint that does not run: what it is given stays in its queues.
func still(t testing.TB, change func(*Config)) *Endpoint {
	t.Helper()
	cfg := Config{Packet: nullPacket{}, Handler: silent{}, Shards: 1}
	change(&cfg)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func datagramFrom(src string) arrival {
	return arrival{peer: Peer{UDP, netip.MustParseAddrPort(src)}}
}

// Of 30,000 packets a second from 5,000 forged sources little more than the
// budget is parsed, a known source loses nothing, and when the flood is over a
// new phone is heard at once.
func TestFloodOfUnknownSources(t *testing.T) {
	trunk := netip.MustParseAddr("192.0.2.7")
	synctest.Test(t, func(t *testing.T) {
		e := still(t, func(c *Config) { c.Known = func(src netip.Addr) bool { return src == trunk } })
		raw := []byte(fuzzInvite)
		for i := range 30_000 {
			src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 5000 >> 8), byte(i % 5000)}), 5060)
			e.receive(arrival{peer: Peer{UDP, src}}, raw)
			if i%300 == 0 {
				e.receive(arrival{peer: Peer{UDP, netip.AddrPortFrom(trunk, 5060)}}, raw)
				e.shards[0].queue.take(nil)
				time.Sleep(10 * time.Millisecond)
			}
		}
		in := e.stats.RequestsIn[0].Load()
		dropped := e.stats.DroppedUnknown.Load() + e.stats.DroppedSource.Load()
		if want := uint64(100 + 2*DefaultUnknownBudget); in > want || in+dropped != 30_100 {
			t.Errorf("%d parsed, want at most %d; %d dropped", in, want, dropped)
		}
		time.Sleep(2 * time.Second)
		before := e.stats.RequestsIn[0].Load()
		e.receive(datagramFrom("198.51.100.1:5060"), raw)
		if e.stats.RequestsIn[0].Load() != before+1 {
			t.Error("after the flood nobody new is heard")
		}
	})
}

// One source gets its own budget, whatever ports or addresses of its /64 it uses.
func TestBudgetOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := still(t, func(c *Config) { c.Known = func(netip.Addr) bool { return false } })
		for i := range 1000 {
			e.receive(datagramFrom(fmt.Sprintf("[2001:db8::%x]:%d", i+1, 1024+i)), []byte(fuzzInvite))
		}
		if in := e.stats.RequestsIn[0].Load(); in != DefaultSourceBudget || e.stats.DroppedSource.Load() != 1000-in {
			t.Errorf("%d parsed", in)
		}
		e.receive(datagramFrom("[2001:db8:0:1::1]:5060"), []byte(fuzzInvite))
		if in := e.stats.RequestsIn[0].Load(); in != DefaultSourceBudget+1 {
			t.Error("the neighbour is not heard")
		}
		// Who has registered has no budget any more: he may end his call in the middle of
		// a flood.
		tx := e.shards[0].makeServerTx(txKey{}, &Request{Method: REGISTER, replyTo: datagramFrom("[2001:db8::9]:5060").peer})
		e.shards[0].add(tx)
		tx.respond(401, "", nil, time.Now())
		if e.known(netip.MustParseAddr("2001:db8::9")) {
			t.Error("a 401 makes friends")
		}
		tx.state = serverTrying
		tx.respond(200, "", nil, time.Now())
		e.receive(datagramFrom("[2001:db8::9]:5060"), []byte(fuzzInvite))
		time.Sleep(friendFor + time.Second)
		if in := e.stats.RequestsIn[0].Load(); in != DefaultSourceBudget+2 || e.known(netip.MustParseAddr("2001:db8::9")) {
			t.Errorf("%d parsed", in)
		}
	})
}

// What is dropped, and what is repeated, costs no allocation.
func TestDropsAllocateNothing(t *testing.T) {
	raw, ping, from := []byte(fuzzInvite), []byte("\r\n\r\n"), datagramFrom("192.0.2.9:5060")
	unknown := still(t, func(c *Config) { c.Known = func(netip.Addr) bool { return false } })
	gated := still(t, func(c *Config) { c.Gate = func(netip.AddrPort, []byte) bool { return false } })
	for range 2 * DefaultSourceBudget {
		unknown.receive(from, raw)
	}
	repeated := still(t, func(*Config) {})
	repeated.receive(from, raw)
	s := repeated.shards[0]
	var events []event
	for _, ev := range s.queue.take(nil) {
		s.handle(ev, time.Now())
	}
	for name, f := range map[string]func(){
		"budget":     func() { unknown.receive(from, raw) },
		"gate":       func() { gated.receive(from, raw) },
		"keep-alive": func() { gated.receive(from, ping) },
		"repetition": func() {
			repeated.receive(from, raw)
			events = s.queue.take(events)
			s.handle(events[0], time.Now())
		},
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
	if got := repeated.stats.RetransmitsIn.Load(); got == 0 {
		t.Error("the repetition was parsed")
	}
}

// A shard that is behind refuses new calls, those of strangers first, and still
// takes what belongs to calls.
func TestOverload(t *testing.T) {
	trunk := netip.MustParseAddr("192.0.2.7")
	out := &recorder{}
	e := still(t, func(c *Config) {
		c.Packet, c.Known = out, func(src netip.Addr) bool { return src == trunk }
	})
	e.budgets = newBudgets(Budget{1 << 30, 1 << 30})
	send := func(src string, n int, method Method, tag string) {
		for i := range n {
			e.receive(datagramFrom(src), fmt.Appendf(nil, "%s sip:2@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%s%d;rport\r\n"+
				"From: <sip:1@h>;tag=a\r\nTo: <sip:2@h>%s\r\nCall-ID: %d\r\nCSeq: 1 %s\r\n\r\n", method, src, i, tag, i, method))
		}
	}
	waiting := func() int { return e.shards[0].queue.len() }
	send("198.51.100.1:5060", 1000, INVITE, "")
	if got := waiting(); got != packetBound/8 {
		t.Errorf("%d calls of strangers wait", got)
	}
	send("192.0.2.7:5060", 3000, INVITE, "")
	if got := waiting(); got != packetBound/2 {
		t.Errorf("%d calls wait", got)
	}
	refused := uint64(1000 + 3000 - packetBound/2)
	if got := e.stats.Refused.Load(); got != refused || len(out.sent) != int(refused) {
		t.Errorf("%d refused, %d answers, want %d", got, len(out.sent), refused)
	}
	m, err := parse(out.sent[0])
	if err != nil || m.res.Status != 503 || m.res.Headers.Get("Retry-After") != overloadRetry {
		t.Errorf("answer %q", out.sent[0])
	}
	send("192.0.2.7:5060", 1000, BYE, ";tag=b")
	if got := waiting(); got != packetBound/2+1000 {
		t.Errorf("%d wait, the BYEs were not taken", got)
	}
}
