package pki

import (
	"errors"
	"testing"
	"time"
)

func TestCredentialsNameClusterAndNode(t *testing.T) {
	ca, err := CreateCA("c0ffee", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadCA(ca.CertPEM, ca.KeyPEM)
	if err != nil || again.ClusterID != "c0ffee" {
		t.Fatalf("load ca: %q, %v", again.ClusterID, err)
	}
	c, err := again.IssueNode("n1", []string{"10.0.0.1", "n1.example.net"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if c.ClusterID != "c0ffee" || c.Node != "n1" {
		t.Errorf("credentials of %s in %s", c.Node, c.ClusterID)
	}
}

func TestLoadRefusesWhatDoesNotBelongTogether(t *testing.T) {
	ca, err := CreateCA("a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := CreateCA("a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n1, err := ca.IssueNode("n1", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n2, err := ca.IssueNode("n2", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(n1.CertPEM, n2.KeyPEM, ca.CertPEM); err == nil {
		t.Error("the key of another node was accepted")
	}
	if _, err := Load(n1.CertPEM, n1.KeyPEM, other.CertPEM); err == nil {
		t.Error("a foreign ca was accepted")
	}
	if _, err := Load(n1.CertPEM, n1.KeyPEM, nil); !errors.Is(err, ErrNotPEM) {
		t.Errorf("no ca: %v", err)
	}
	if _, err := LoadCA(n1.CertPEM, n1.KeyPEM); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a node's certificate as ca: %v", err)
	}
}
