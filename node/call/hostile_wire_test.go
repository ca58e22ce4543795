package call

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// eavesdropper keeps what was sent to the node, to send it again otherwise.
type eavesdropper struct {
	w    *world
	r    *rand.Rand
	raw  [][]byte
	from []netip.AddrPort
}

// maxHeard bounds what is kept: the beginning of every kind of message comes early.
const maxHeard = 400

func (e *eavesdropper) hear(from, to netip.AddrPort, raw []byte) (lost bool) {
	if to.String() == nodeAddr && len(e.raw) < maxHeard && bytes.Contains(raw, []byte("SIP/2.0")) {
		e.raw, e.from = append(e.raw, bytes.Clone(raw)), append(e.from, from)
	}
	return false
}

// distort makes another message of one that was heard.
func (e *eavesdropper) distort() []byte {
	methods := []string{"INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "INFO", "OPTIONS", "PRACK", "REFER"}
	r, raw := e.r, bytes.Clone(e.raw[e.r.IntN(len(e.raw))])
	lines := bytes.Split(raw, []byte("\r\n"))
	switch at := r.IntN(len(lines)); r.IntN(5) {
	case 0: // another method, in the start line and in the CSeq
		was, is := methods[r.IntN(len(methods))], methods[r.IntN(len(methods))]
		raw = bytes.ReplaceAll(raw, []byte(was), []byte(is))
	case 1: // a line of another message: tags, branches, bodies
		other := bytes.Split(e.raw[r.IntN(len(e.raw))], []byte("\r\n"))
		lines[at] = other[r.IntN(len(other))]
		raw = bytes.Join(lines, []byte("\r\n"))
	case 2:
		for range 1 + r.IntN(4) {
			raw[r.IntN(len(raw))] = byte(r.IntN(256))
		}
	case 3: // a line less, another CSeq
		raw = bytes.Join(append(lines[:at:at], lines[at+1:]...), []byte("\r\n"))
		raw = bytes.Replace(raw, []byte("CSeq: 1 "), fmt.Appendf(nil, "CSeq: %d ", r.IntN(5)), 1)
	}
	return raw
}

// send sends a message to the node from an address that was heard.
func (e *eavesdropper) send(raw []byte) {
	e.w.net.mu.Lock()
	conn := e.w.net.conns[e.from[e.r.IntN(len(e.from))]]
	e.w.net.mu.Unlock()
	if _, err := conn.WriteTo(raw, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(nodeAddr))); err != nil {
		e.w.t.Error(err)
	}
}

// Calls go on beside thousands of messages that are nearly right: nothing is left of
// any of them in the node, in the state, in the relay or of the money.
func TestDistortedMessages(t *testing.T) {
	for seed := range uint64(12) {
		bubble(t, fmt.Sprint("seed ", seed), "1000", func(t *testing.T, w *world) {
			e := &eavesdropper{w: w, r: rand.New(rand.NewPCG(seed, 1))}
			w.lose(e.hear)
			for i, p := range []*phone{w.one, w.two} {
				r := rand.New(rand.NewPCG(seed, uint64(2+i)))
				p.invite = func(req *sip.Request, tx *sip.ServerTx) {
					statuses := []int{180, 183, 200, 200, 302, 486, 503}
					res := p.state(req).response(statuses[r.IntN(len(statuses))])
					if r.IntN(3) > 0 {
						res.SetBody(sdpType, []byte(p.sdp))
					}
					p.reply(tx, res)
				}
			}
			for i := range 300 {
				if i%10 == 0 {
					w.caller.call(fmt.Sprint("44", e.r.IntN(1000)))
				}
				pause(time.Duration(e.r.IntN(50)) * time.Millisecond)
				for range 5 {
					raw := e.distort()
					e.w.lose(nil)
					e.send(raw)
					synctest.Wait()
					e.w.lose(e.hear)
				}
			}
			pause(5 * time.Hour) // longer than the longest call
			w.over()
		})
	}
}
