package sip_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"tandem/sip"
)

// What becomes of a message: a status is the endpoint's own refusal.
const (
	taken   = 200 // it reaches the handler, which answers 200
	stray   = -1  // a response that is well-formed and nobody's
	dropped = 0   // silence
)

// RFC 4475, message by message. Where the document leaves a choice, the comment
// says which one is taken; what is decided above this package (authentication,
// body types, methods) reaches the handler.
func TestRFC4475(t *testing.T) {
	expectations := map[string]int{
		// 3.1.1: valid.
		"wsinv": taken, "intmeth": taken, "esc01": taken, "escnull": taken, "esc02": taken, "lwsdisp": taken,
		"longreq": taken, "semiuri": taken, "transports": taken, "mpart01": taken,
		"dblreq":   taken, // what follows the body in the datagram is no message
		"unreason": stray, "noreason": stray,
		// 3.1.2: invalid.
		"badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "quotbal": 400, "ltgtruri": 400, "lwsruri": 400,
		"scalarlg": dropped, "bigcode": dropped,
		"lwsstart": 400, "trws": 400, // may be repaired; other elements could read another URI
		"escruri":  400,   // may be ignored
		"baddate":  taken, // only who needs the date refuses
		"regbadct": 400,
		"badaspec": 400, "baddn": 400, // may be taken by guessing
		"badvers":    505,
		"mismatch01": 400, "mismatch02": 400, // for the latter 501 is as good
		// 3.2: the branch is a cookie and nothing else.
		"badbranch": taken,
		// 3.3: application layer.
		"insuf": 400, "unkscm": 416, "novelsc": 416, "unksm2": 400, "bext01": 420,
		"invut": taken, "regaut01": taken, "multi01": 400, "mcl01": 400,
		"bcast":    dropped, // it was for someone else: never sent to its second Via
		"zeromf":   taken,   // we are the last hop of an OPTIONS
		"cparam01": taken, "cparam02": taken, "regescrt": taken, "sdp01": taken,
		// 3.4: RFC 2543.
		"inv2543": taken,
	}
	tortured(t, "rfc4475.txt", 49, expectations)
}

// RFC 5118: SIP with IPv6.
func TestRFC5118(t *testing.T) {
	tortured(t, "rfc5118.txt", 12, map[string]int{
		"ipv6-good": taken, "ipv6-bad": 400,
		"port-ambiguous":   taken, // an address without a port
		"port-unambiguous": taken,
		// Both ways to write received are taken.
		"via-received-param-with-delim": taken, "via-received-param-no-delim": taken,
		"ipv6-in-sdp": taken, "mult-ip-in-header": taken, "mult-ip-in-sdp": taken, "ipv4-mapped-ipv6": taken,
		// Section 4.10: must be tolerated.
		"ipv6-bug-abnf-3-colons": taken, "ipv6-correct-abnf-2-colons": taken,
	})
}

func tortured(t *testing.T, file string, count int, expectations map[string]int) {
	messages := sip.Torture(t, file)
	if len(messages) != count || len(expectations) != count {
		t.Fatalf("%d messages, %d expectations, want %d", len(messages), len(expectations), count)
	}
	for name, raw := range messages {
		want, ok := expectations[name]
		if !ok {
			t.Errorf("%s: nothing is expected of it", name)
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := n.start(t, "192.0.2.2:5060")
				b.request = func(req *sip.Request, tx *sip.ServerTx) {
					state := req.Invite("ours")
					if b, err := state.MarshalBinary(); err != nil || new(sip.InviteState).UnmarshalBinary(b) != nil {
						t.Errorf("it cannot be kept: %v", err)
					}
					tx.Respond(req.Response(200, "ours"))
				}
				n.send(addr("192.0.2.9:5060"), b.addr, raw)
				synctest.Wait()
				n.mu.Lock()
				answers := n.log[1:]
				n.mu.Unlock()
				switch {
				case want == stray || want == dropped:
					if got := b.events(); len(answers) != 0 || (got == "stray") != (want == stray) {
						t.Errorf("answers %q, handler saw %q", answers, got)
					}
				case len(answers) != 1 || !strings.HasPrefix(answers[0], fmt.Sprintf("SIP/2.0 %d ", want)):
					t.Errorf("answers %q, want %d", answers, want)
				case (b.events() != "") != (want == taken):
					t.Errorf("handler saw %q", b.events())
				}
				if got, lost := refusals(b.Stats()), want != taken; got != 0 && !lost || got != 1 && lost {
					t.Errorf("counted %d times", got)
				}
			})
		})
	}
}

// refusals is the sum of all counters of what was refused or dropped: each message
// counts in one of them, once.
func refusals(s *sip.Stats) (sum uint64) {
	for i := range s.Malformed {
		sum += s.Malformed[i].Load()
	}
	return sum + s.Refused.Load() + s.Stray.Load() + s.DroppedGate.Load() + s.DroppedPermit.Load() + s.DroppedFull.Load() +
		s.DroppedSource.Load() + s.DroppedUnknown.Load() + s.SendErrors.Load() + s.AcceptErrors.Load() + s.HandshakeErrors.Load()
}

// Every reason is reached by a message, and is counted by that message alone.
func TestEveryRefusalCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
			c.Gate = func(_ netip.AddrPort, raw []byte) bool { return !bytes.HasPrefix(raw, []byte("REGISTER")) }
			c.Permit = func(status int) bool { return status != 486 }
		})
		b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(486, "")) }
		branch := 0
		for name, raw := range map[string][]byte{
			"gate":    message("REGISTER sip:h SIP/2.0", "CSeq: 1 REGISTER"),
			"permit":  message(options),
			"481":     message("CANCEL sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 CANCEL"),
			"483":     message("INVITE sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 INVITE", "Max-Forwards: 0"),
			"482":     message("MESSAGE sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 MESSAGE", "Via: SIP/2.0/UDP h;branch=z9hG4bKl"+strings.Repeat(", SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKl", 4)),
			"513":     message("INVITE sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 INVITE", "Record-Route: <sip:"+strings.Repeat("r", 4001)+"@h;lr>"),
			"416":     message("OPTIONS mailto:2@192.0.2.2 SIP/2.0"),
			"420":     message(options, "Require: foo"),
			"400":     message(options, "Contact: <sip:1@h"),
			"505":     message("OPTIONS sip:2@192.0.2.2 SIP/1.0"),
			"garbage": []byte("\x00\x01\x02\x03\x04\x05\x06"),
			"stray":   message("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKnobody"),
		} {
			branch++
			raw = bytes.Replace(raw, []byte("z9hG4bKtest"), fmt.Appendf(nil, "z9hG4bKt%d", branch), 1)
			before := refusals(b.Stats())
			n.send(addr("192.0.2.9:5060"), b.addr, raw)
			synctest.Wait()
			if got := refusals(b.Stats()) - before; got != 1 {
				t.Errorf("%s counts %d times", name, got)
			}
		}
	})
}
