// Package pki makes and reads what proves that a process belongs to a cluster:
// the cluster's CA, a certificate for each node and the gossip key.
//
// A node certificate names the node (common name) and the cluster (a URI
// tandem://CLUSTER/NODE). It never touches the disk: everything is PEM in memory.
package pki

import (
	"crypto/tls"
	"time"
)

// CA is a cluster's certificate authority.
type CA struct {
	ClusterID string
	CertPEM   []byte
	KeyPEM    []byte // kept offline or on the first node; nil after Load of a node's directory
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
func NewClusterID() string { panic("unfinished") }

// CreateCA makes a CA for a cluster.
func CreateCA(clusterID string, now time.Time) (CA, error) { panic("unfinished") }

// IssueNode makes a node's credentials. addrs are IP addresses or host names.
func (ca CA) IssueNode(node string, addrs []string, now time.Time) (Credentials, error) {
	panic("unfinished")
}

// Load checks that the parts belong together.
func Load(certPEM, keyPEM, caPEM []byte) (Credentials, error) { panic("unfinished") }

// TLS returns the configuration for both sides of a connection. ALPN is the caller's.
func (c Credentials) TLS(now func() time.Time) (*tls.Config, error) { panic("unfinished") }

// NewGossipKey returns a random AES-256 key.
func NewGossipKey() []byte { panic("unfinished") }
