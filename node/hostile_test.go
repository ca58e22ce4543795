package node_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/cdr"
)

// wire is a socket of a peer that keeps no rules.
type wire struct {
	t    *testing.T
	conn *net.UDPConn
}

func newWire(t *testing.T, ip string) *wire {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t, conn}
}

func (w *wire) addr() netip.AddrPort { return w.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (w *wire) send(to netip.AddrPort, text string) {
	w.t.Helper()
	if _, err := w.conn.WriteToUDPAddrPort([]byte(text), to); err != nil {
		w.t.Fatal(err)
	}
}

// next returns the first message within a while that begins with a text, or "".
func (w *wire) next(begin string, within time.Duration) (string, netip.AddrPort) {
	w.t.Helper()
	buf := make([]byte, 65536)
	for end := time.Now().Add(within); ; {
		if err := w.conn.SetReadDeadline(end); err != nil {
			w.t.Fatal(err)
		}
		n, from, err := w.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return "", netip.AddrPort{}
		}
		if strings.HasPrefix(string(buf[:n]), begin) {
			return string(buf[:n]), from
		}
	}
}

// final waits for a final response to an INVITE and acknowledges it.
func (w *wire) final(invite string, within time.Duration) string {
	w.t.Helper()
	for end := time.Now().Add(within); ; {
		text, from := w.next("SIP/2.0", time.Until(end))
		if text == "" {
			return ""
		}
		if status := text[8:11]; status >= "200" && strings.Contains(text, " INVITE\r\n") {
			lines := []string{strings.Replace(strings.SplitN(invite, "\r\n", 2)[0], "INVITE", "ACK", 1)}
			for _, name := range []string{"Via", "From", "Call-ID", "CSeq"} {
				lines = append(lines, name+": "+strings.Replace(header(invite, name), "INVITE", "ACK", 1))
			}
			lines = append(lines, "To: "+header(text, "To"), "Max-Forwards: 70", "Content-Length: 0", "", "")
			w.send(from, strings.Join(lines, "\r\n"))
			return text
		}
	}
}

// header returns the first value of a header.
func header(text, name string) string {
	for line := range strings.SplitSeq(text, "\r\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func voice(at netip.AddrPort) string {
	ip := at.Addr()
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n", ip, ip)
}

// invite writes an INVITE; change replaces parts of it.
func (w *wire) invite(id string, change ...string) string {
	body := voice(w.addr())
	if i := slices.Index(change, "BODY"); i >= 0 {
		body = change[i+1]
	}
	text := fmt.Sprintf("INVITE sip:8613800138000@127.0.0.41 SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;branch=z9hG4bK%[2]s;rport\r\n"+
		"Max-Forwards: 70\r\nFrom: \"Alice\" <sip:442071234567@%[1]s>;tag=%[2]s\r\nTo: <sip:8613800138000@127.0.0.41>\r\n"+
		"Call-ID: %[2]s\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@%[1]s>\r\nContent-Type: application/sdp\r\nContent-Length: LEN\r\n\r\nBODY",
		w.addr(), id)
	text = strings.NewReplacer(change...).Replace(text)
	return strings.NewReplacer("LEN", fmt.Sprint(len(body)), "BODY", body).Replace(text)
}

// answer writes a response of the vendor to a request of ours.
func (w *wire) answer(request, status, tag string, body string) string {
	text := "SIP/2.0 " + status + "\r\n"
	for _, name := range []string{"Via", "From", "Call-ID", "CSeq"} {
		text += name + ": " + header(request, name) + "\r\n"
	}
	to := header(request, "To")
	if !strings.Contains(to, ";tag=") {
		to += ";tag=" + tag
	}
	text += "To: " + to + "\r\nContact: <sip:vendor@" + w.addr().String() + ">\r\n"
	if body != "" {
		text += "Content-Type: application/sdp\r\n"
	}
	return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// within sends a request inside the dialog that a 200 made, with given tags.
func within(method, ok, from, to string, via netip.AddrPort, seq int) string {
	return fmt.Sprintf("%s sip:x@127.0.0.41 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
		method, via, strings.ToLower(method), via.Port()+uint16(seq), from, to, header(ok, "Call-ID"), seq, method)
}

// A peer that keeps no rules: what it sends is refused clearly or dropped, reaches
// nobody, moves no money, and the calls of others go on.
func TestHostilePeers(t *testing.T) {
	l := newLab(t)
	vendor, customer, stranger := newWire(t, "127.0.0.61"), newWire(t, "127.0.0.51"), newWire(t, "127.0.0.99")
	l.objects(vendor.addr())
	l.announced()
	to := l.sip(0)
	l.eventually("customer is known", func() bool {
		customer.send(to, "OPTIONS sip:x SIP/2.0\r\n"+strings.SplitN(customer.invite("ping", "1 INVITE", "1 OPTIONS"), "\r\n", 2)[1])
		text, _ := customer.next("SIP/2.0 ", 100*time.Millisecond)
		return text != ""
	})

	t.Run("refused", func(t *testing.T) {
		for name, c := range map[string]struct {
			change []string
			status string // "": silence
		}{
			"crlf in the number":     {[]string{"sip:8613800138000@", "sip:86138%0d%0aX-Evil:%201@"}, "484"},
			"letters":                {[]string{"sip:8613800138000@", "sip:bob@"}, "484"},
			"no callee":              {[]string{"sip:8613800138000@", "sip:"}, "484"},
			"malformed sdp":          {[]string{"BODY", "v=0\r\nm=x\r\n"}, "400"},
			"text body":              {[]string{"application/sdp", "text/plain"}, "415"},
			"length lies":            {[]string{"LEN", "60000"}, "400"},
			"two lengths":            {[]string{"Max-Forwards: 70", "Max-Forwards: 70\r\nl: 5"}, "400"},
			"two from":               {[]string{"CSeq: 1", "From: <sip:x@y>;tag=1\r\nCSeq: 1"}, "400"},
			"other cseq":             {[]string{"1 INVITE", "1 BYE"}, "400"},
			"future":                 {[]string{"SIP/2.0\r\nVia", "SIP/9.0\r\nVia"}, "505"},
			"no hops":                {[]string{"Max-Forwards: 70", "Max-Forwards: 0"}, "483"},
			"required extension":     {[]string{"CSeq: 1", "Require: x-evil\r\nCSeq: 1"}, "420"},
			"other scheme":           {[]string{"INVITE sip:", "INVITE http:"}, "416"},
			"3,000 headers":          {[]string{"Content-Type", strings.Repeat("X-A: b\r\n", 3000) + "Content-Type"}, "513"},
			"a long header":          {[]string{"CSeq: 1", "X-A: " + strings.Repeat("b", 20000) + "\r\nCSeq: 1"}, "513"},
			"200 m-lines":            {[]string{"BODY", "v=0\r\no=- 1 1 IN IP4 127.0.0.51\r\ns=-\r\nc=IN IP4 127.0.0.51\r\nt=0 0\r\n" + strings.Repeat("m=audio 40000 RTP/AVP 8 0 18\r\n", 201)}, "413"},
			"media to a relay port":  {[]string{"BODY", strings.ReplaceAll(voice(l.sip(0)), "40000", "30000")}, "488"},
			"no contact":             {[]string{"Contact: ", "X-Contact: "}, "400"},
			"a contact that is none": {[]string{"Contact: <sip:", "Contact: <"}, "400"},
			"no call-id":             {[]string{"Call-ID: ", "X-Id: "}, "400"},
			"no via":                 {[]string{"Via: ", "X-Via: "}, ""},
		} {
			id := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return -1
			}, name)
			invite := customer.invite(id, c.change...)
			customer.send(to, invite)
			wait := 3 * time.Second
			if c.status == "" {
				wait = 300 * time.Millisecond
			}
			got := customer.final(invite, wait)
			if got == "" && c.status != "" || got != "" && got[8:11] != c.status {
				t.Errorf("%s: want %q, got %.60q", name, c.status, got)
			}
		}
		if text, _ := vendor.next("INVITE", 50*time.Millisecond); text != "" {
			t.Errorf("vendor got %s", text)
		}
	})

	t.Run("injection", func(t *testing.T) {
		invite := customer.invite("inject", `"Alice"`, `"A\"\\ <sip:evil@x>;tag=9, %0d%0aX-Evil: 1"`,
			"CSeq: 1", "Subject: hi\r\n X-Evil: 1\r\nX-Evil: 1\r\np-asserted-identity : <sip:1@x>\r\nRemote-Party-ID:<sip:1@x>\r\nRoute: <sip:127.0.0.99;lr>\r\nCSeq: 1")
		customer.send(to, invite)
		got, from := vendor.next("INVITE", 3*time.Second)
		for line := range strings.SplitSeq(got, "\r\n") {
			name, _, _ := strings.Cut(line, ":")
			for _, bad := range []string{"x-evil", "p-asserted-identity", "remote-party-id", "route"} {
				if strings.EqualFold(strings.TrimSpace(name), bad) {
					t.Errorf("vendor got %q", line)
				}
			}
		}
		if got == "" || strings.Contains(got, "Alice") || strings.Contains(header(got, "From"), "evil") {
			t.Errorf("vendor got %q", got)
		}
		vendor.send(from, vendor.answer(got, "486 Busy Here", "v", ""))
		if res := customer.final(invite, 3*time.Second); !strings.HasPrefix(res, "SIP/2.0 486") {
			t.Errorf("caller got %.40q", res)
		}
	})

	t.Run("one INVITE to all nodes", func(t *testing.T) {
		invite := customer.invite("thrice")
		for i := range l.nodes {
			customer.send(l.sip(i), invite)
		}
		got, from := vendor.next("INVITE", 3*time.Second)
		if got == "" {
			t.Fatal("vendor got nothing")
		}
		vendor.send(from, vendor.answer(got, "180 Ringing", "v", ""))
		if again, _ := vendor.next("INVITE", 700*time.Millisecond); again != "" {
			t.Errorf("a second leg: %s", again)
		}
		vendor.send(from, vendor.answer(got, "603 Decline", "v", ""))
		if res := customer.final(invite, 3*time.Second); !strings.HasPrefix(res, "SIP/2.0 603") {
			t.Errorf("caller got %.40q", res)
		}
	})

	t.Run("INVITE and CANCEL at once", func(t *testing.T) {
		invite := customer.invite("atonce")
		cancel := strings.NewReplacer("INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL").Replace(invite)
		customer.send(to, invite)
		customer.send(to, cancel)
		if res := customer.final(invite, 3*time.Second); !strings.HasPrefix(res, "SIP/2.0 487") {
			t.Errorf("caller got %.40q", res)
		}
	})

	t.Run("spoofed", func(t *testing.T) {
		invite := customer.invite("spoofed")
		customer.send(to, invite)
		leg, from := vendor.next("INVITE", 3*time.Second)
		if leg == "" {
			t.Fatal("vendor got nothing")
		}
		vendor.send(from, vendor.answer(leg, "200 OK", "v", voice(vendor.addr())))
		ok := customer.final(invite, 3*time.Second)
		if !strings.HasPrefix(ok, "SIP/2.0 200") {
			t.Fatalf("caller got %.40q", ok)
		}
		a, b := header(ok, "From"), header(ok, "To")
		right, wrong := within("BYE", ok, a, b, stranger.addr(), 2), within("BYE", ok, a, b[:len(b)-3]+"aaa", vendor.addr(), 3)
		stranger.send(to, right)
		stranger.send(to, "CANCEL"+strings.TrimPrefix(strings.Replace(invite, "1 INVITE", "1 CANCEL", 1), "INVITE"))
		vendor.send(to, wrong)
		vendor.send(to, within("BYE", ok, a+"x", b, vendor.addr(), 4))
		if text, _ := stranger.next("SIP/2.0", 300*time.Millisecond); text != "" {
			t.Errorf("a stranger got %.40q", text)
		}
		if text, _ := vendor.next("BYE", 300*time.Millisecond); text != "" {
			t.Error("a spoofed BYE ended the call")
		}
		customer.send(to, within("BYE", ok, a, b, customer.addr(), 5))
		bye, _ := vendor.next("BYE", 3*time.Second)
		if bye == "" {
			t.Fatal("vendor got no BYE")
		}
		vendor.send(from, vendor.answer(bye, "200 OK", "v", ""))
	})

	l.settled(0)
	for i, n := range l.nodes {
		n.View(func(s *fsm.State) {
			if a, _ := s.Account("acme"); a.Balance.Held != 0 || a.Live != 0 {
				t.Errorf("node %d: %s held, %d calls", i+1, a.Balance.Held, a.Live)
			}
			if err := s.Check(); err != nil {
				t.Errorf("node %d: %v", i+1, err)
			}
		})
		page, err := n.CDRs().Search(t.Context(), cdr.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		charged := 0
		for _, r := range page.CDRs {
			if r.Fee != 0 || r.Answered != 0 {
				charged++
			}
		}
		if charged != 1 {
			t.Errorf("node %d: %d charged calls, want 1", i+1, charged)
		}
	}
}
