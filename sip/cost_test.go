package sip

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	// maxCost is what one datagram may allocate, whatever is in it.
	maxCost = 256 << 10
	// maxTime is ten times what one datagram may take: this machine has other work,
	// and quadratic reading of 64 kB takes a hundred times as much.
	maxTime = 20 * time.Millisecond
)

// reader is a handler that looks into a request as call control does.
type reader struct{ silent }

func (reader) Request(req *Request, tx *ServerTx) {
	if tx == nil {
		return
	}
	state := req.Invite("tag")
	_, _ = state.MarshalBinary()
	if d, err := state.Dialog("sip:us@192.0.2.2"); err == nil {
		_ = d.Request(BYE)
	}
	_, _ = ParseAddress(req.From)
	_ = PassedHeaders(req.Headers)
	_ = TrustedHeaders(req.Headers)
	_ = req.Headers.HasTag("Supported", Tag100rel)
	_ = tx.Respond(req.Response(486, "tag"))
}

// hostiles are messages that are as bad as their size allows, field by field.
func hostiles(size int) map[string][]byte {
	all := map[string][]byte{}
	fields := map[string]string{
		"Via": "SIP/2.0/UDP 192.0.2.9;rport;branch=z9hG4bKx", "From": "<sip:1@h>;tag=a", "To": "<sip:2@h>", "Call-ID": "c",
		"CSeq": "1 INVITE", "Max-Forwards": "70", "Contact": "<sip:1@h>", "Content-Length": "0",
	}
	build := func(uri string, changed map[string]string, tail string) []byte {
		var b strings.Builder
		b.WriteString("INVITE " + uri + " SIP/2.0\r\n")
		for name, value := range fields {
			if v, ok := changed[name]; ok {
				value = v
			}
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
		b.WriteString(tail)
		return []byte(b.String())[:min(b.Len(), maxMessage)]
	}
	fills := []string{",", ";", "\"", "<", ">", "\\\"", " ", ":", "=", "a", "%00", "\r\n ", "\r\n\t,", "a,", ";a=b", "<sip:a@b>,", ";rport", "?a", "@", "[", "/", "\x00"}
	for _, fill := range fills {
		long := strings.Repeat(fill, size/len(fill))
		for name, value := range fields {
			all[fmt.Sprintf("%s %q", name, fill)] = build("sip:2@h", map[string]string{name: value + long}, "\r\n")
			all[fmt.Sprintf("%s %q before", name, fill)] = build("sip:2@h", map[string]string{name: long + value}, "\r\n")
		}
		all[fmt.Sprintf("uri %q", fill)] = build("sip:"+long+"@h", nil, "\r\n")
		// Over as many lines as there may be, each as long as it may be.
		lines := strings.Repeat(fill, max(1, min(maxLine-20, size/8)/len(fill)))
		for _, name := range []string{"Record-Route", "Require", "Supported", "Contact", "Via", "Route", "X", "Subject"} {
			all[fmt.Sprintf("8 %s %q", name, fill)] = build("sip:2@h", nil, strings.Repeat(name+": "+lines+"\r\n", 8)+"\r\n")
		}
	}
	all["many short headers"] = build("sip:2@h", nil, strings.Repeat("a:\r\n", size/4)+"\r\n")
	all["many folds"] = build("sip:2@h", nil, "a: b"+strings.Repeat("\r\n c", size/4)+"\r\n\r\n")
	all["line ends"] = build("sip:2@h", nil, strings.Repeat("\r\n", size/2))
	all["sdp"] = build("sip:2@h", map[string]string{"Content-Length": fmt.Sprint(size / 2)}, "c: application/sdp\r\n\r\n"+strings.Repeat("m=\n", size/4))
	all["parts"] = build("sip:2@h", map[string]string{"Content-Length": fmt.Sprint(size / 2)}, "c: multipart/mixed;boundary=-\r\n\r\n"+strings.Repeat("-", size))
	return all
}

// One datagram, whatever it holds, costs a bounded amount of memory and time, and
// eight times the bytes cost little more than eight times the memory.
func TestCostOfADatagram(t *testing.T) {
	e := still(t, func(c *Config) { c.Handler = reader{} })
	s := e.shards[0]
	from := datagramFrom("192.0.2.9:5060")
	var events []event
	cost := func(raw []byte) (bytes uint64, took time.Duration) {
		took = time.Hour
		for range 3 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			e.receive(from, raw)
			events = s.queue.take(events)
			for _, ev := range events {
				s.handle(ev, start)
			}
			s.flush()
			took = min(took, time.Since(start))
			runtime.ReadMemStats(&after)
			bytes = after.TotalAlloc - before.TotalAlloc
			for _, tx := range s.servers {
				tx.finish() // or the second round would only be a repetition
			}
			clear(events)
			s.queue.take(nil)
		}
		return bytes, took
	}
	worst, slowest := uint64(0), time.Duration(0)
	for _, size := range []int{7 << 10, 60 << 10} {
		for name, raw := range hostiles(size) {
			bytes, took := cost(raw)
			if bytes > maxCost || took > maxTime {
				t.Errorf("%s of %d bytes: %d bytes, %s", name, len(raw), bytes, took)
			}
			worst, slowest = max(worst, bytes), max(slowest, took)
		}
	}
	t.Logf("worst: %d bytes, %s", worst, slowest)
}
