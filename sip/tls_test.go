package sip_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// authority issues the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

// issue makes a certificate for a name, for both sides of a connection.
func (a *authority) issue(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secure gives an agent TLS on port 5061 with mutual authentication: it shows the
// name to both sides of its connections and wants peers called "peer.test" or so.
func (a *authority) secure(t testing.TB, n *network, host, name, peer string) func(*sip.Config) {
	cert := a.issue(t, name)
	return func(c *sip.Config) {
		c.TLS = sip.TLSConfig{
			Listener: n.listen(host + ":5061"),
			Server:   &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert},
			Client: func(netip.AddrPort) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: a.pool, ServerName: peer}, nil
			},
		}
	}
}

func TestTLSCall(t *testing.T) {
	ca := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.start(t, "192.0.2.1:5060", ca.secure(t, n, "192.0.2.1", "a.test", "b.test"))
		b := n.start(t, "192.0.2.2:5060", ca.secure(t, n, "192.0.2.2", "b.test", "a.test"))
		var callee sip.Dialog
		b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.Method == sip.INVITE {
				var ok *sip.Response
				ok, callee = answer(t, b, req.Invite("tt"))
				tx.Respond(ok)
			}
		}
		a.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "")) }
		req, out := invite(t, a, b, "tls"), &outcome{}
		req.Dest = sip.Peer{Transport: sip.TLS, Addr: addr("192.0.2.2:5061")}
		req.Headers = sip.Headers{{Name: "Contact", Value: "<" + a.Contact("leg", sip.TLS) + ">"}}
		a.Endpoint.Request(req, sip.Options{}, out.on)
		synctest.Wait()
		out.want(t, 200)
		if callee.Transport != sip.TLS || callee.RemoteTarget != "sip:leg@192.0.2.1:5061;transport=tls" {
			t.Errorf("dialog %+v", callee)
		}
		// The callee's BYE takes the caller's connection, and no second one is opened.
		bye := &outcome{}
		b.Endpoint.Request(callee.Request(sip.BYE), sip.Options{}, bye.on)
		synctest.Wait()
		bye.want(t, 200)
		if got := b.Stats().Conns.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
	})
}

// Who does not show the right certificate, who shows it to the wrong peer, and
// who speaks an old version gets no connection.
func TestTLSRefusals(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	peer := ca.issue(t, "peer.test")
	for _, tt := range []struct {
		name   string
		client *tls.Config
		verify error
		ok     bool
	}{
		{"right", &tls.Config{Certificates: []tls.Certificate{peer}}, nil, true},
		{"no certificate", &tls.Config{}, nil, false},
		{"foreign certificate", &tls.Config{Certificates: []tls.Certificate{foreign.issue(t, "peer.test")}}, nil, false},
		{"not the trunk's name", &tls.Config{Certificates: []tls.Certificate{peer}}, errors.New("another trunk"), false},
		{"TLS 1.1", &tls.Config{Certificates: []tls.Certificate{peer}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				secure := ca.secure(t, n, "192.0.2.2", "b.test", "")
				b := n.start(t, "192.0.2.2:5060", secure, func(c *sip.Config) {
					c.TLS.Verify = func(netip.AddrPort, tls.ConnectionState) error { return tt.verify }
				})
				b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "")) }
				tt.client.RootCAs, tt.client.ServerName = ca.pool, "b.test"
				plain, err := n.dialer("192.0.2.9")(context.Background(), "tcp", "192.0.2.2:5061")
				if err != nil {
					t.Fatal(err)
				}
				nc := tls.Client(plain, tt.client)
				defer nc.Close()
				answers := lines(nc)
				nc.Write(bytes.Replace(tcpMessage(options, "1 OPTIONS"), []byte("SIP/2.0/TCP"), []byte("SIP/2.0/TLS"), 1))
				synctest.Wait()
				if got := len(answers) == 1; got != tt.ok {
					t.Errorf("%d answers", len(answers))
				}
				if refused := b.Stats().HandshakeErrors.Load() == 1; refused == tt.ok {
					t.Errorf("refused: %v", refused)
				}
			})
		})
	}
}

// A handshake that hangs is cut, also one that dribbles, and nothing is left.
func TestTLSHandshakeTimeout(t *testing.T) {
	ca := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", ca.secure(t, n, "192.0.2.2", "b.test", ""))
		nc, err := n.dialer("192.0.2.9")(context.Background(), "tcp", "192.0.2.2:5061")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for i := range 20 {
			if _, err := nc.Write([]byte{22, 3, 1, 2, 0, 1}[i%6 : i%6+1]); err != nil {
				break
			}
			pause(time.Second)
		}
		if got := b.Stats().Conns.Load(); got != 0 {
			t.Errorf("%d connections", got)
		}
	})
}

// The connection of a dialog is gone, and somebody else behind the same address
// and port has connected since: the BYE must not reach him. It goes to the
// Contact, over a new connection.
func TestStreamNeverUsesAnothersConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		var d sip.Dialog
		b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.Method == sip.INVITE {
				var ok *sip.Response
				ok, d = answer(t, b, req.Invite("tt"))
				tx.Respond(ok)
			}
		}
		from := addr("192.0.2.9:40000")
		dial := func() net.Conn {
			near, far := net.Pipe()
			n.mu.Lock()
			l := n.listeners[b.addr]
			n.mu.Unlock()
			l.in <- pipeConn{far, b.addr, from}
			t.Cleanup(func() { near.Close() })
			return near
		}
		first := dial()
		lines(first)
		first.Write(tcpMessage("INVITE sip:2@192.0.2.2 SIP/2.0", "1 INVITE", "Contact: <sip:1@192.0.2.9:5060;transport=tcp>"))
		synctest.Wait()
		first.Close()
		synctest.Wait()
		atSecond := lines(dial())
		synctest.Wait()

		contact := n.listen("192.0.2.9:5060")
		b.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, nil)
		synctest.Wait()
		if len(atSecond) != 0 {
			t.Errorf("the stranger got %q", <-atSecond)
		}
		nc, err := contact.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		at := lines(nc)
		synctest.Wait()
		if got := <-at; got != "BYE sip:1@192.0.2.9:5060;transport=tcp SIP/2.0" {
			t.Errorf("at the contact: %q", got)
		}

		// Where the Contact cannot be dialled, the address of the old connection is all
		// there is, and it is not his any more.
		d.RemoteTarget, d.Transport = "sip:1@behind.nat.invalid", sip.TCP
		out := &outcome{}
		b.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, out.on)
		synctest.Wait()
		if len(atSecond) != 0 || len(out.errs) != 1 || !errors.Is(out.errs[0], sip.ErrTransport) {
			t.Errorf("stranger got %d messages, errors %v", len(atSecond), out.errs)
		}
	})
}

// RFC 5923: who proves who he is and asks for it is reached at his listening
// address through the connection that he opened; others are not.
func TestAlias(t *testing.T) {
	ca := newAuthority(t)
	for _, mutual := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			b := n.start(t, "192.0.2.2:5060", ca.secure(t, n, "192.0.2.2", "b.test", "peer.test"), func(c *sip.Config) {
				if !mutual {
					c.TLS.Server.ClientAuth = tls.NoClientCert
				}
			})
			b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "")) }
			plain, err := n.dialer("192.0.2.9")(context.Background(), "tcp", "192.0.2.2:5061")
			if err != nil {
				t.Fatal(err)
			}
			nc := tls.Client(plain, &tls.Config{RootCAs: ca.pool, ServerName: "b.test", Certificates: []tls.Certificate{ca.issue(t, "peer.test")}})
			defer nc.Close()
			got := lines(nc)
			nc.Write(message(options, "Via: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bKalias;alias", "Content-Length: 0"))
			synctest.Wait()
			<-got
			req := invite(t, b, b, "back")
			req.Dest = sip.Peer{Transport: sip.TLS, Addr: addr("192.0.2.9:5061")}
			b.Endpoint.Request(req, sip.Options{}, nil)
			synctest.Wait()
			if reached := len(got) == 1; reached != mutual {
				t.Errorf("mutual %v: reached %v", mutual, reached)
			}
		})
	}
}
