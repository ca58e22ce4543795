package node

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/node/config"
	"tandem/sip"
)

// selfSigned writes a certificate for 127.0.0.1, its own authority, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", secret)
}

// answering answers everything with 200.
type answering struct{}

func (answering) Request(req *sip.Request, tx *sip.ServerTx) {
	if tx != nil {
		_ = tx.Respond(req.Response(200, "")) // the test waits for it
	}
}
func (answering) Canceled(*sip.ServerTx, *sip.Request) {}
func (answering) AckTimeout(*sip.ServerTx)             {}
func (answering) StrayResponse(*sip.Response)          {}

// What the configuration names is served: TLS to who shows a good certificate or
// none, and to a peer that has the address in his.
func TestSecureLine(t *testing.T) {
	cert, key := selfSigned(t)
	secure, err := loadSecure(&config.SIP{
		Transports: []string{"udp", "tls", "wss"}, TLSPort: freePort(t), WebPort: freePort(t),
		Certificate: cert, Key: key, Peers: cert, Origins: []string{"https://phone.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{opts: Options{Network: SystemNetwork{}, SIP: SIP{Secure: secure}}}
	l := &line{ip: netip.MustParseAddr("127.0.0.1"), streams: newStreams(SystemNetwork{}, netip.MustParseAddrPort("127.0.0.1:0"), false)}
	packet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := sip.Config{Packet: packet, Handler: answering{}, Dial: new(net.Dialer).DialContext}
	n.secure(l, &cfg)
	endpoint, err := sip.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- endpoint.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	at := netip.AddrPortFrom(l.ip, secure.TLSPort).String()
	ours, err := secure.client(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*tls.Config{"shows ours": ours, "shows none": {RootCAs: ours.RootCAs, ServerName: "127.0.0.1"}} {
		nc := dialUntil(t, at, client)
		fmt.Fprintf(nc, "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK%d\r\nFrom: <sip:a@h>;tag=a\r\n"+
			"To: <sip:b@h>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", len(name), strings.ReplaceAll(name, " ", ""))
		line, err := bufio.NewReader(nc).ReadString('\n')
		if err != nil || line != "SIP/2.0 200 OK\r\n" {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		nc.Close()
	}
	web := dialUntil(t, netip.AddrPortFrom(l.ip, secure.WebPort).String(), ours)
	defer web.Close()
	fmt.Fprint(web, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Origin: https://evil.example.com\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if line, err := bufio.NewReader(web).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 403 ") {
		t.Errorf("a foreign page: %q, %v", line, err)
	}
	l.cutStreams()
	if nc, err := tls.Dial("tcp", at, ours); err == nil {
		nc.Close()
		t.Error("a line that is cut accepts connections")
	}
}

// dialUntil connects as soon as the port is open.
func dialUntil(t *testing.T, at string, cfg *tls.Config) net.Conn {
	t.Helper()
	var err error
	for range 100 {
		var nc *tls.Conn
		if nc, err = tls.Dial("tcp", at, cfg); err == nil {
			return nc
		}
		time.Sleep(listenAgain)
	}
	t.Fatal(err)
	return nil
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func TestSecureNamesTheKey(t *testing.T) {
	cert, key := selfSigned(t)
	for _, tt := range []struct {
		cfg  config.SIP
		want string
	}{
		{config.SIP{Transports: []string{"tls"}, TLSPort: 5061, Certificate: "none.pem", Key: key}, "sip.certificate"},
		{config.SIP{Transports: []string{"wss"}, Certificate: cert, Key: key, Peers: key}, "sip.peers"},
		{config.SIP{Transports: []string{"udp"}}, ""},
	} {
		_, err := loadSecure(&tt.cfg)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: %v, want %q", tt.cfg.Transports, err, tt.want)
		}
	}
}
