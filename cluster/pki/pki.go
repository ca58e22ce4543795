// Package pki makes and reads what proves that a process belongs to a cluster:
// the cluster's CA, a certificate for each node and the gossip key.
//
// A node certificate names the cluster and the node in a URI,
// tandem://CLUSTER/NODE. Nothing here touches the disk: everything is PEM in
// memory, and whoever runs `tandem init` decides where it lies.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Lifetimes. Certificates are checked against the wall clock, which may be
// wrong by an hour on a machine that has just booted: hence the backdating.
const (
	caLifetime   = 20 * 365 * 24 * time.Hour
	nodeLifetime = 5 * 365 * 24 * time.Hour
	backdate     = 24 * time.Hour
)

// scheme is that of the URI that names a node.
const scheme = "tandem"

// Errors of this package.
var (
	// ErrNotPEM means that a text holds no PEM block of the kind it should.
	ErrNotPEM = errors.New("no such PEM block")
	// ErrNotOurs means that a certificate was not issued by this package for a
	// node of this cluster.
	ErrNotOurs = errors.New("certificate is not of this cluster")
)

// CA is a cluster's certificate authority.
type CA struct {
	ClusterID string
	CertPEM   []byte
	KeyPEM    []byte // to be kept away from the nodes once all are issued
}

// Credentials are what a node presents and what it trusts.
type Credentials struct {
	ClusterID string
	Node      string
	CertPEM   []byte
	KeyPEM    []byte
	CAPEM     []byte
}

// NewClusterID returns a random id of 16 hex digits.
func NewClusterID() string { return hex.EncodeToString(random(8)) }

// NewGossipKey returns a random AES-256 key.
func NewGossipKey() []byte { return random(32) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

// CreateCA makes a CA for a cluster.
func CreateCA(clusterID string, now time.Time) (CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("generate ca key: %w", err)
	}
	t := template(now, caLifetime)
	t.Subject = pkix.Name{CommonName: "tandem cluster " + clusterID, Organization: []string{clusterID}}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return CA{}, fmt.Errorf("create ca certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	return CA{ClusterID: clusterID, CertPEM: encodeCert(der), KeyPEM: keyPEM}, err
}

// LoadCA reads a CA back, so that it can issue further nodes.
func LoadCA(certPEM, keyPEM []byte) (CA, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return CA{}, fmt.Errorf("ca certificate: %w", err)
	}
	if !cert.IsCA || len(cert.Subject.Organization) != 1 {
		return CA{}, fmt.Errorf("ca certificate: %w", ErrNotOurs)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return CA{}, fmt.Errorf("ca key: %w", err)
	}
	return CA{ClusterID: cert.Subject.Organization[0], CertPEM: certPEM, KeyPEM: keyPEM}, nil
}

// IssueNode makes a node's credentials. addrs are IP addresses or host names at
// which people may also open the console; members do not check them.
func (ca CA) IssueNode(node string, addrs []string, now time.Time) (Credentials, error) {
	pair, err := tls.X509KeyPair(ca.CertPEM, ca.KeyPEM)
	if err != nil {
		return Credentials{}, fmt.Errorf("ca: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, fmt.Errorf("generate key of %s: %w", node, err)
	}
	t := template(now, nodeLifetime)
	t.Subject = pkix.Name{CommonName: node, Organization: []string{ca.ClusterID}}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	t.URIs = []*url.URL{{Scheme: scheme, Host: ca.ClusterID, Path: "/" + node}}
	for _, a := range addrs {
		if ip := net.ParseIP(a); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, a)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, pair.Leaf, &key.PublicKey, pair.PrivateKey)
	if err != nil {
		return Credentials{}, fmt.Errorf("create certificate of %s: %w", node, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Credentials{}, err
	}
	return Load(encodeCert(der), keyPEM, ca.CertPEM)
}

// Load checks that the parts belong together and reads the names from them.
func Load(certPEM, keyPEM, caPEM []byte) (Credentials, error) {
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return Credentials{}, fmt.Errorf("node certificate and key: %w", err)
	}
	cert, err := parseCert(certPEM)
	if err != nil {
		return Credentials{}, fmt.Errorf("node certificate: %w", err)
	}
	ca, err := parseCert(caPEM)
	if err != nil {
		return Credentials{}, fmt.Errorf("ca certificate: %w", err)
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return Credentials{}, fmt.Errorf("node certificate and ca: %w", err)
	}
	c := Credentials{CertPEM: certPEM, KeyPEM: keyPEM, CAPEM: caPEM}
	c.ClusterID, c.Node, err = Identity(cert)
	return c, err
}

// Identity reads cluster and node from a node's certificate.
func Identity(cert *x509.Certificate) (clusterID, node string, err error) {
	for _, u := range cert.URIs {
		if u.Scheme == scheme && u.Host != "" && len(u.Path) > 1 {
			return u.Host, u.Path[1:], nil
		}
	}
	return "", "", fmt.Errorf("%q: %w", cert.Subject.CommonName, ErrNotOurs)
}

// TLS returns the configuration of both sides of a connection between members:
// TLS 1.3, certificates demanded and verified against the cluster's CA, the
// cluster's name compared. The caller adds the ALPN names. now may be nil.
func (c Credentials) TLS(now func() time.Time) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.CertPEM, c.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("node certificate and key: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CAPEM) {
		return nil, fmt.Errorf("ca certificate: %w", ErrNotPEM)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAnyClientCert,
		Time:         now,
		// Members are known by name, not by address, which may be behind a
		// translation: so the standard check of the address is replaced, on both
		// sides, by the check of the chain and of the cluster's name.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verify(s.PeerCertificates, roots, c.ClusterID, now())
		},
		SessionTicketsDisabled: true, // each connection proves itself
	}, nil
}

// verify checks a peer's chain and cluster.
func verify(chain []*x509.Certificate, roots *x509.CertPool, clusterID string, now time.Time) error {
	if len(chain) == 0 {
		return fmt.Errorf("peer without a certificate: %w", ErrNotOurs)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return fmt.Errorf("peer certificate: %w", err)
	}
	cluster, node, err := Identity(chain[0])
	if err == nil && cluster != clusterID {
		err = fmt.Errorf("node %s of cluster %s: %w", node, cluster, ErrNotOurs)
	}
	return err
}

func template(now time.Time, lifetime time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(random(16)),
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(lifetime),
	}
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("CERTIFICATE: %w", ErrNotPEM)
	}
	return x509.ParseCertificate(block.Bytes)
}
