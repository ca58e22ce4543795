package node

import (
	"net/netip"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/call"
	"tandem/node/phones"
)

// nothing is a directory and a proposer that are not asked.
type nothing struct{}

func (nothing) View(func(*fsm.State))                        {}
func (nothing) LogTime() fsm.Time                            { return 0 }
func (nothing) Submit(call.Command, func(fsm.Result, error)) {}

// A blocked source is not asked for passwords, but who talks behind its address can
// still hang up.
func TestBlockedSourcesMayHangUp(t *testing.T) {
	service, err := phones.New(phones.Config{Directory: nothing{}, Proposer: nothing{}, Incarnation: func() uint64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{phones: service}
	office, other := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")
	service.Block(office, time.Hour)
	for _, tt := range []struct {
		src   netip.Addr
		first string
		want  bool
	}{
		{office, "REGISTER sip:x SIP/2.0\r\n", false},
		{other, "REGISTER sip:x SIP/2.0\r\n", true},
		{office, "BYE sip:x SIP/2.0\r\n", true},
		{office, "ACK sip:x SIP/2.0\r\n", true},
		{office, "INVITE sip:x SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n", false},
		{office, "INVITE sip:x SIP/2.0\r\nt : <sip:x@y>;tag=1\r\n\r\n", true},
		{other, "INVITE sip:x SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n", true},
		{office, "SIP/2.0 200 OK\r\n", true},
		{other, "OPTIONS sip:x SIP/2.0\r\n", false},
	} {
		if got := n.hears(tt.src, []byte(tt.first)); got != tt.want {
			t.Errorf("%q from %s: heard %v, want %v", tt.first, tt.src, got, tt.want)
		}
	}
}
