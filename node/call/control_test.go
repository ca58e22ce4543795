package call

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

func TestConfig(t *testing.T) {
	good := Config{Node: "n1", Key: make([]byte, 16), Proposer: nobody{}, Outbox: nobody{}, Records: nobody{}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for key, change := range map[string]func(*Config){
		"Node":     func(c *Config) { c.Node = "" },
		"Proposer": func(c *Config) { c.Proposer = nil },
		"Outbox":   func(c *Config) { c.Outbox = nil },
		"Records":  func(c *Config) { c.Records = nil },
		"Key":      func(c *Config) { c.Key = c.Key[:15] },
		"Hold":     func(c *Config) { c.Hold = -1 },
		"MaxCalls": func(c *Config) { c.MaxCalls = -1 },
	} {
		bad := good
		change(&bad)
		if _, err := New(bad); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v does not name %s", err, key)
		}
	}
	c, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Line(LineConfig{}); err == nil {
		t.Error("a line without an address is taken")
	}
	if _, err := c.Line(LineConfig{IP: netip.MustParseAddr("10.0.0.1")}); err == nil {
		t.Error("a line without a relay is taken")
	}
}

// TestMailbox: new calls are refused first, messages of calls are dropped later,
// and results always find room.
func TestMailbox(t *testing.T) {
	c, err := New(Config{Node: "n1", Key: make([]byte, 16), Proposer: nobody{}, Outbox: nobody{}, Records: nobody{}, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := c.shards[0] // nobody empties it
	fresh, messages := 0, 0
	for s.post(item{fresh: true}) {
		fresh++
	}
	for s.post(item{}) {
		messages++
	}
	if fresh != maxFresh || fresh+messages != maxMessages {
		t.Errorf("room for %d new calls and %d messages", fresh, fresh+messages)
	}
	if !s.post(item{sure: true}) {
		t.Error("no room for a result")
	}
}

func TestAdoptedIsSilentUntilHeard(t *testing.T) {
	bubble(t, "until both legs have answered a probe", "10", func(t *testing.T, w *world) {
		w.connect()
		w.restart(time.Second)
		silent, err := w.node.control.Silent(t.Context(), 5*time.Second)
		if err != nil || len(silent) != 1 {
			t.Errorf("adopted: silent %v, %v", silent, err)
		}
		pause(11 * time.Second)
		if silent, err = w.node.control.Silent(t.Context(), 5*time.Second); err != nil || len(silent) != 0 {
			t.Errorf("probed: silent %v, %v", silent, err)
		}
		w.caller.sendBye()
		w.over()
	})
}

func TestServed(t *testing.T) {
	bubble(t, "served and silent calls", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		id := w.ledger.live()[0].ID
		served, err := w.node.control.Served(t.Context())
		if err != nil || len(served) != 1 || served[0] != id {
			t.Errorf("served %v, %v", served, err)
		}
		silent, err := w.node.control.Silent(t.Context(), 5*time.Second)
		if err != nil || len(silent) != 0 {
			t.Errorf("never heard: silent %v, %v", silent, err)
		}
		stop := w.talk()
		pause(2 * time.Second)
		if silent, err = w.node.control.Silent(t.Context(), 5*time.Second); err != nil || len(silent) != 0 {
			t.Errorf("talking: silent %v, %v", silent, err)
		}
		stop()
		pause(6 * time.Second)
		if silent, err = w.node.control.Silent(t.Context(), 5*time.Second); err != nil || len(silent) != 1 {
			t.Errorf("stopped: silent %v, %v", silent, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.node.control.Served(gone); err == nil {
			synctest.Wait() // the shard was faster
		}
		w.caller.sendBye()
		settle()
		if cdr := w.ledger.lastCDR(t); cdr.MediaA.Packets < 90 || cdr.MediaB.Packets < 90 || cdr.MediaA.Lost != 0 {
			t.Errorf("media figures %+v %+v", cdr.MediaA, cdr.MediaB)
		}
		w.over()
	})
}

func TestOutsideOfDialogs(t *testing.T) {
	bubble(t, "requests without a call", "10", func(t *testing.T, w *world) {
		for method, want := range map[sip.Method]int{sip.OPTIONS: 200, sip.BYE: 481, sip.INFO: 481, "MESSAGE": 405, "SUBSCRIBE": 405} {
			for _, tag := range []string{"", "unknown"} {
				status := 0
				to := "<sip:x@10.0.0.1>"
				if tag != "" {
					to += ";tag=" + tag
				}
				req := &sip.Request{
					Method: method, URI: "sip:" + nodeAddr, From: "<sip:y@10.1.0.1>;tag=t", FromTag: "t", To: to, ToTag: tag,
					CallID: w.caller.NewIdentifier(), CSeq: 7, MaxForwards: 70, Dest: sip.Peer{Addr: netip.MustParseAddrPort(nodeAddr)},
				}
				_, err := w.caller.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
					if err == nil {
						status = res.Status
					}
				})
				w.check(err)
				settle()
				if tag != "" {
					want = 481
				}
				if status != want {
					t.Errorf("%s with tag %q: %d, want %d", method, tag, status, want)
				}
			}
		}
		w.node.control.Drain(true)
	})
}

func TestTopUpEvent(t *testing.T) {
	bubble(t, "a released hold is offered to the others", "0.40", func(t *testing.T, w *world) {
		w.connect()
		pause(15 * time.Second)
		w.ledger.must(t, &fsm.TopUp{Account: "c1", Amount: 1_000_000})
		settle()
		pause(60 * time.Second)
		if w.node.control.Live() != 1 {
			t.Error("ended although there is money")
		}
		w.caller.sendBye()
		w.over()
	})
}
