package media

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// ciphers are the far ends of a call that is SRTP on side A and plain on side B.
type ciphers struct {
	t       *testing.T
	session *Session
	crypto  Crypto
	enc     *srtp.Context // of the phone on side A
	dec     *srtp.Context
	from    [2]netip.AddrPort
}

// secureCall makes a session whose packets are routed by hand.
func secureCall(t *testing.T, suite Suite) *ciphers {
	t.Helper()
	c := &ciphers{
		t:      t,
		crypto: Crypto{Suite: suite, Theirs: NewKeying(suite), Ours: NewKeying(suite)},
		from:   [2]netip.AddrPort{netip.MustParseAddrPort(phone + ":4000"), netip.MustParseAddrPort(carrier + ":5000")},
	}
	c.phones()
	c.session = c.bare()
	return c
}

// bare is a session without sockets.
func (c *ciphers) bare() *Session {
	s := &Session{relay: &Relay{cfg: Config{IP: netip.MustParseAddr(service)}, start: time.Now()}}
	for side := range c.from {
		remote := at(c.from[side].String())
		if Side(side) == A {
			remote.Crypto = c.crypto
		}
		if err := s.SetRemote(Side(side), remote); err != nil {
			c.t.Fatal(err)
		}
	}
	return s
}

func (c *ciphers) phones() {
	var err error
	if c.enc, err = c.crypto.Suite.context(c.crypto.Theirs); err != nil {
		c.t.Fatal(err)
	}
	if c.dec, err = c.crypto.Suite.context(c.crypto.Ours); err != nil {
		c.t.Fatal(err)
	}
}

// buffer copies a packet as an engine would hold it.
func buffer(b []byte) []byte { return append(make([]byte, 0, maxPacket+srtpOverhead), b...) }

// send encrypts a packet of the phone and routes it; nil: it was dropped.
func (c *ciphers) send(plain []byte, now time.Duration) []byte {
	c.t.Helper()
	sealed, err := c.enc.EncryptRTP(nil, plain, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _, out := c.session.route(laneOf(A, false), buffer(sealed), c.from[A], now)
	return out
}

// hear routes a packet of side B and decrypts what the phone gets.
func (c *ciphers) hear(plain []byte, now time.Duration) []byte {
	c.t.Helper()
	_, _, out := c.session.route(laneOf(B, false), buffer(plain), c.from[B], now)
	if out == nil {
		return nil
	}
	got, err := c.dec.DecryptRTP(nil, out, nil)
	if err != nil {
		c.t.Fatalf("the phone cannot decrypt: %v", err)
	}
	return got
}

func TestSRTPOnOneSide(t *testing.T) {
	for suite := SuiteNone + 1; suite < suites; suite++ {
		t.Run(suite.String(), func(t *testing.T) {
			c := secureCall(t, suite)
			for i := range uint16(20) {
				plain := rtpPacket(7, i, uint32(i)*160)
				if got := c.send(plain, time.Second); !bytes.Equal(got, plain) {
					t.Fatalf("packet %d: carrier got %x, want %x", i, got, plain)
				}
				if got := c.hear(plain, time.Second); !bytes.Equal(got, plain) {
					t.Fatalf("packet %d: phone got %x, want %x", i, got, plain)
				}
			}
			if n := c.session.Stats().From[A].Dropped[DropCrypto]; n != 0 {
				t.Errorf("%d packets dropped", n)
			}
		})
	}
}

func TestSRTCP(t *testing.T) {
	c := secureCall(t, SuiteAES128SHA80)
	report, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 9}})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.enc.EncryptRTCP(nil, report, nil)
	if err != nil {
		t.Fatal(err)
	}
	from := netip.AddrPortFrom(c.from[A].Addr(), c.from[A].Port()+1)
	if _, _, out := c.session.route(laneOf(A, true), buffer(sealed), from, 0); !bytes.Equal(out, report) {
		t.Errorf("carrier got %x, want %x", out, report)
	}
	from = netip.AddrPortFrom(c.from[B].Addr(), c.from[B].Port()+1)
	_, _, out := c.session.route(laneOf(B, true), buffer(report), from, 0)
	if got, err := c.dec.DecryptRTCP(nil, out, nil); err != nil || !bytes.Equal(got, report) {
		t.Errorf("phone got %x, %v, want %x", got, err, report)
	}
}

// Nothing is relayed, and no source learned, from a packet that the side did not make.
func TestSRTPRefusesWhatIsNotAuthentic(t *testing.T) {
	c := secureCall(t, SuiteAES128SHA80)
	forged := rtpPacket(7, 1, 160)
	for range 2 * learnPackets {
		if _, _, out := c.session.route(laneOf(A, false), buffer(forged), c.from[A], 0); out != nil {
			t.Fatal("a plain packet was relayed")
		}
	}
	if peer := c.session.State().Learned[A].RTP; peer.IsValid() {
		t.Errorf("%s was learned from forged packets", peer)
	}
	plain := rtpPacket(7, 2, 320)
	sealed, err := c.enc.EncryptRTP(nil, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{plain, nil} { // the second time it is a replay
		if _, _, out := c.session.route(laneOf(A, false), buffer(sealed), c.from[A], 0); !bytes.Equal(out, want) {
			t.Errorf("time %d: got %x, want %x", i, out, want)
		}
	}
	if n := c.session.Stats().From[A].Dropped[DropCrypto]; n != 2*learnPackets+1 {
		t.Errorf("%d packets counted as not authentic", n)
	}
}

// A stranger who shows ever new SSRCs from the right address neither fills the
// memory nor stops the stream.
func TestSRTPStrangeSSRCs(t *testing.T) {
	c := secureCall(t, SuiteAES128SHA80)
	sequence := uint16(65_000)
	for range 2000 { // past a wrap, so that the rollover counter matters
		sequence++
		c.send(rtpPacket(7, sequence, 0), 0)
	}
	first := c.session.legs[A].secure.in
	for i := range uint32(3 * maxStrange) {
		c.session.route(laneOf(A, false), buffer(rtpPacket(100+i, 1, 1)), c.from[A], 0)
	}
	if c.session.legs[A].secure.in == first {
		t.Error("the context was not made anew")
	}
	plain := rtpPacket(7, sequence+1, 0)
	if got := c.send(plain, 0); !bytes.Equal(got, plain) {
		t.Errorf("got %x after the strangers, want %x", got, plain)
	}
}

// A survivor goes on with the counters of the former owner, even when the phone's
// sequence number wrapped after they were stored.
func TestSRTPTakeover(t *testing.T) {
	for _, suite := range []Suite{SuiteAES128SHA80, SuiteAEAD128} {
		for _, gap := range []uint16{1, 400} { // packets between the state and the takeover
			c := secureCall(t, suite)
			sequence := uint16(65_000)
			step := func() []byte { sequence++; return rtpPacket(7, sequence, uint32(sequence)*160) }
			for range 65_900 {
				plain := step()
				c.send(plain, 0)
				c.hear(plain, 0)
			}
			stored, err := c.session.State().MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			before := sequence
			for range gap { // the second wrap is among the 400
				c.send(step(), 0)
			}
			if wrapped := sequence < before; wrapped != (gap == 400) {
				t.Fatalf("sequence numbers %d to %d", before, sequence)
			}
			var state State
			if err := state.UnmarshalBinary(stored); err != nil {
				t.Fatal(err)
			}
			if roc := state.Heard[A].ROC; roc == 0 {
				t.Fatalf("the stored rollover counter is %d", roc)
			}
			c.session = c.bare()
			if err := c.session.restore(state); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				plain := step()
				if got := c.send(plain, 0); !bytes.Equal(got, plain) {
					t.Errorf("%s, gap %d: carrier got %x, want %x", suite, gap, got, plain)
				}
				if got := c.hear(plain, 0); !bytes.Equal(got, plain) {
					t.Errorf("%s, gap %d: phone got %x, want %x", suite, gap, got, plain)
				}
			}
		}
	}
}

func TestCryptoLines(t *testing.T) {
	const key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj" // RFC 4568 section 4.1
	body := func(lines ...string) []byte {
		return []byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8\r\n" +
			strings.Join(append(lines, ""), "\r\n") + "m=video 4002 RTP/SAVP 96\r\na=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" + key + "\r\n")
	}
	for _, c := range []struct {
		line string
		want Suite
	}{
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key, SuiteAES128SHA80},
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" + key + "|2^20", SuiteAES128SHA32},
		{"a=crypto:1 aes_cm_128_hmac_sha1_80 inline:" + key + " WSH=128", SuiteAES128SHA80},
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|2^20|1:4", SuiteNone}, // MKI
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key + " UNENCRYPTED_SRTP", SuiteNone},
		{"a=crypto:1 F8_128_HMAC_SHA1_80 inline:" + key, SuiteNone},
		{"a=crypto:1 AEAD_AES_128_GCM inline:" + key, SuiteNone}, // 28 bytes, not 30
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:!!", SuiteNone},
		{"a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:" + key, SuiteNone},
		{"a=crypto:1", SuiteNone},
	} {
		lines, err := CryptoLines(body(c.line))
		if err != nil {
			t.Fatal(err)
		}
		got := SuiteNone
		if len(lines) > 0 {
			got = lines[0].Suite
		}
		if got != c.want || len(lines) > 1 {
			t.Errorf("%s: %v, want suite %q", c.line, lines, c.want)
		}
	}
	lines, err := CryptoLines(body("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key))
	if err != nil || hex.EncodeToString(lines[0].Key[:4]) != "77446676" {
		t.Fatalf("got %v, %v", lines, err)
	}
	if _, err := CryptoLines([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n")); !errors.Is(err, ErrNoAudio) {
		t.Errorf("got %v, want ErrNoAudio", err)
	}
}

func TestWithCrypto(t *testing.T) {
	line := CryptoLine{Tag: 3, Suite: SuiteAES128SHA80}
	plain := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVPF 8\r\na=x-unknown: 1\r\nm=video 0 RTP/AVP 96\r\n"
	secured, err := WithCrypto([]byte(plain), line)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(strings.Replace(plain, "RTP/AVPF", "RTP/SAVPF", 1), "m=video", line.String()+"\r\nm=video", 1)
	if string(secured) != want {
		t.Errorf("got\n%s\nwant\n%s", secured, want)
	}
	back, err := WithCrypto(secured)
	if err != nil || string(back) != plain {
		t.Errorf("got %v\n%s\nwant\n%s", err, back, plain)
	}
	cut, err := WithCrypto([]byte(strings.TrimSuffix(plain[:strings.Index(plain, "m=video")], "\r\n")), line)
	if err != nil || !strings.HasSuffix(string(cut), "a=x-unknown: 1\r\n"+line.String()+"\r\n") {
		t.Errorf("got %v\n%s", err, cut)
	}
}

func BenchmarkRouteSRTP(b *testing.B) {
	c := &ciphers{crypto: Crypto{Suite: SuiteAES128SHA80}, from: [2]netip.AddrPort{
		netip.MustParseAddrPort(phone + ":4000"), netip.MustParseAddrPort(carrier + ":5000"),
	}}
	s := c.bare()
	packet := buffer(rtpPacket(1, 1, 1))
	b.ReportAllocs()
	for b.Loop() { // from the plain side: one encryption
		if _, _, sent := s.route(laneOf(B, false), packet, c.from[B], time.Second); sent == nil {
			b.Fatal("dropped")
		}
	}
}
