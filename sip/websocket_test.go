package sip_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

const page = "https://phone.example.com"

func webServer(t testing.TB, n *network) *agent {
	b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
		c.WebSocket = sip.WebSocketConfig{Listener: n.listen("192.0.2.2:8080"), Origins: []string{page}}
	})
	b.request = func(req *sip.Request, tx *sip.ServerTx) {
		if tx != nil {
			tx.Respond(req.Response(200, "t"))
		}
	}
	return b
}

// browse sends an upgrade request and returns the connection, its reader and the
// status.
func browse(t testing.TB, n *network, change ...string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	nc, err := n.dialer("192.0.2.9")(context.Background(), "tcp", "192.0.2.2:8080")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	req := "GET / HTTP/1.1\r\nHost: 192.0.2.2\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + page + "\r\n" +
		"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
	for i := 0; i < len(change); i += 2 {
		req = strings.Replace(req, change[i], change[i+1], 1)
	}
	if _, err := nc.Write([]byte(req)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return nc, r, res
}

// clientFrame is one masked frame.
func clientFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// serverFrame reads one frame, "" when the connection is closed.
func serverFrame(r *bufio.Reader) (opcode byte, payload string) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, ""
	}
	length, _ := r.ReadByte()
	n := int(length)
	if n == 126 {
		var b [2]byte
		r.Read(b[:])
		n = int(binary.BigEndian.Uint16(b[:]))
	}
	text := make([]byte, n)
	for got := 0; got < n; {
		k, err := r.Read(text[got:])
		if err != nil {
			return 0, ""
		}
		got += k
	}
	return first, string(text)
}

func webMessage(cseq string) []byte {
	return message(options, "Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK"+strings.ReplaceAll(cseq, " ", ""), "CSeq: "+cseq,
		"Contact: <sip:1@df7jal23ls0d.invalid;transport=ws>")
}

func TestWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := webServer(t, n)
		nc, r, res := browse(t, n)
		if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Protocol") != "sip" || res.Header.Get("Sec-WebSocket-Extensions") != "" ||
			res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 section 1.3
			t.Fatalf("upgrade: %d %v", res.StatusCode, res.Header)
		}
		want := func(opcode byte, prefix string) {
			t.Helper()
			if op, text := serverFrame(r); op != opcode || !strings.HasPrefix(text, prefix) {
				t.Fatalf("frame %x %.40q, want %x %q", op, text, opcode, prefix)
			}
		}
		nc.Write(clientFrame(0x81, webMessage("1 OPTIONS")))
		want(0x81, "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1OPTIONS;received=192.0.2.9\r\n")
		// In fragments with a ping between them, then two frames in one write.
		whole := webMessage("2 OPTIONS")
		nc.Write(clientFrame(0x01, whole[:40]))
		nc.Write(clientFrame(0x89, []byte("alive?")))
		want(0x8a, "alive?")
		nc.Write(clientFrame(0x80, whole[40:]))
		want(0x81, "SIP/2.0 200 OK")
		nc.Write(append(clientFrame(0x82, webMessage("3 OPTIONS")), clientFrame(0x81, []byte("\r\n\r\n"))...))
		op, one := serverFrame(r)
		op2, two := serverFrame(r)
		if op != 0x81 || op2 != 0x81 || !strings.Contains(one+two, "\r\n\r\n\r\n") && one != "\r\n" && two != "\r\n" {
			t.Errorf("frames %q and %q, want an answer and a pong", one, two)
		}
		if got := b.events(); got != "OPTIONS OPTIONS OPTIONS" {
			t.Errorf("seen %q", got)
		}
		nc.Write(clientFrame(0x88, []byte{3, 232}))
		pause(time.Second)
		if b.Stats().Conns.Load() != 0 {
			t.Error("not closed")
		}
	})
}

// A request of ours reaches a browser only over the connection that it opened.
func TestWebSocketInDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := webServer(t, n)
		var d sip.Dialog
		b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.Method == sip.INVITE {
				var ok *sip.Response
				ok, d = answer(t, b, req.Invite("tt"))
				tx.Respond(ok)
			}
		}
		nc, r, _ := browse(t, n)
		call := strings.Replace(string(webMessage("1 INVITE")), "OPTIONS sip", "INVITE sip", 1)
		nc.Write(clientFrame(0x81, []byte(call)))
		if _, text := serverFrame(r); !strings.Contains(text, "Contact: <sip:answer@192.0.2.2:8080;transport=ws>") {
			t.Fatalf("answer %q", text)
		}
		b.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, nil)
		_, text := serverFrame(r)
		if !strings.HasPrefix(text, "BYE sip:1@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\nVia: SIP/2.0/WS 192.0.2.2:8080;") {
			t.Errorf("in-dialog request %q", text)
		}
	})
}

func TestWebSocketUpgradeRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change []string
		status int
	}{
		{"foreign origin", []string{page, "https://evil.example.com"}, 403},
		{"origin that begins alike", []string{page, page + ".evil.org"}, 403},
		{"no origin", []string{"Origin: " + page + "\r\n", ""}, 403},
		{"no subprotocol", []string{"Sec-WebSocket-Protocol: sip\r\n", ""}, 400},
		{"other subprotocol", []string{"Protocol: sip", "Protocol: chat"}, 400},
		{"old version", []string{"Version: 13", "Version: 8"}, 426},
		{"no key", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""}, 400},
		{"no upgrade", []string{"Upgrade: websocket\r\n", ""}, 400},
		{"a post", []string{"GET /", "POST /"}, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := webServer(t, n)
				_, _, res := browse(t, n, tt.change...)
				synctest.Wait()
				if res.StatusCode != tt.status || b.Stats().Conns.Load() != 0 || b.Stats().HandshakeErrors.Load() != 1 {
					t.Errorf("status %d, %d connections", res.StatusCode, b.Stats().Conns.Load())
				}
			})
		})
	}
}

func TestWebSocketBadFrames(t *testing.T) {
	whole := webMessage("1 OPTIONS")
	for _, tt := range []struct {
		name   string
		stream []byte
	}{
		{"not masked", append([]byte{0x81, 126, 0, 0}, whole...)},
		{"too long", clientFrame(0x81, make([]byte, 70_000))},
		{"2^63 bytes", []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}},
		{"too long in fragments", append(clientFrame(0x01, make([]byte, 40_000)), clientFrame(0x80, make([]byte, 40_000))...)},
		{"compressed", clientFrame(0xc1, whole)},
		{"long ping", clientFrame(0x89, make([]byte, 126))},
		{"ping in fragments", clientFrame(0x09, nil)},
		{"unknown opcode", clientFrame(0x83, nil)},
		{"continuation of nothing", clientFrame(0x80, whole)},
		{"message within a message", append(clientFrame(0x01, whole[:10]), clientFrame(0x81, whole)...)},
		{"half a frame for ever", clientFrame(0x81, whole)[:20]},
		{"fragments that never end", clientFrame(0x01, whole)},
		{"no message at all", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := webServer(t, n)
				nc, _, _ := browse(t, n)
				lines(nc)
				go nc.Write(tt.stream)
				pause(6 * time.Second)
				if b.Stats().Conns.Load() != 0 || b.events() != "" {
					t.Errorf("%d connections, saw %q", b.Stats().Conns.Load(), b.events())
				}
			})
		})
	}
}

// A flood of pings is answered as far as the queue goes, and nobody else waits.
func TestWebSocketPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := webServer(t, n)
		nc, _, _ := browse(t, n)
		nc.Write(clientFrame(0x81, webMessage("1 OPTIONS")))
		go func() {
			for i := range 10_000 {
				if _, err := nc.Write(clientFrame(0x89, fmt.Appendf(nil, "%d", i))); err != nil {
					return
				}
			}
		}()
		pause(10 * time.Second) // the flooder does not read: the write deadline cuts him
		if got := b.Stats().Conns.Load(); got != 0 {
			t.Errorf("%d connections", got)
		}
	})
}
