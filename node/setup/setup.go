// Package setup makes what has to be there before a node's first start: the
// cluster's CA, a certificate and keys for each node, the first administrator's
// token, and a configuration file.
//
// It writes one directory for the cluster, which is to be kept away from the
// nodes, and one for each node, which is the node's data directory. It never
// overwrites a file, and it never stores the administrator's token in clear.
//
//	made, err := setup.Run(setup.Config{Dir: "tandem", Nodes: []setup.Node{{Name: "n1", IP: ip}}}, time.Now())
//	fmt.Println(made.Token)
//
// Run again on the same directory with other nodes, it issues them certificates
// of the same cluster.
package setup

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"tandem/cluster/pki"
	"tandem/node"
	"tandem/node/api/client"
	"tandem/node/config"
)

// Node is a node to be set up.
type Node struct {
	Name string
	IP   netip.Addr // of its ports and its service address
}

// Config says what to make.
type Config struct {
	Dir     string // one sub-directory a node, and "cluster"
	Nodes   []Node
	DataDir string // data_dir in the configuration files; empty: the node's directory
	Ports   Ports
}

// Ports are those of every node; a zero is the configuration's default.
type Ports struct {
	Cluster, SIP, HTTP uint16
	Media              string
}

// Made is what was made.
type Made struct {
	ClusterID string
	Token     string // the administrator's, in clear; empty when nodes were added
	Nodes     []MadeNode
}

// MadeNode is one of the nodes.
type MadeNode struct {
	Name   string
	File   string // configuration file
	API    string // host:port
	Joined bool   // added to a cluster that was there
}

// The files of the cluster's directory beside those that nodes have too.
const (
	dirCluster = "cluster"
	fileCAKey  = "pki/ca.key"
	fileConfig = "tandem.toml"
)

// ErrExists says that a node's directory is there already.
var ErrExists = errors.New("is there already")

// Run makes the directories.
func Run(cfg Config, now time.Time) (Made, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return Made{}, err
	}
	cfg.Dir = dir
	if len(cfg.Nodes) == 0 {
		return Made{}, errors.New("no nodes")
	}
	old, err := members(dir)
	if err != nil {
		return Made{}, err
	}
	if err := cfg.check(old); err != nil {
		return Made{}, err
	}
	made := Made{}
	root := filepath.Join(dir, dirCluster)
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		if made.Token, err = found(root, now); err != nil {
			return Made{}, err
		}
	}
	ca, shared, err := load(root)
	if err != nil {
		return Made{}, err
	}
	made.ClusterID = ca.ClusterID
	for _, n := range cfg.Nodes {
		m, err := cfg.issue(ca, shared, n, old, now)
		if err != nil {
			return Made{}, fmt.Errorf("node %s: %w", n.Name, err)
		}
		made.Nodes = append(made.Nodes, m)
	}
	return made, nil
}

// check finds what is wrong before anything is made: a cluster that was half
// made would have a token that nobody was told.
func (cfg *Config) check(old []string) error {
	names := map[string]bool{}
	for _, n := range cfg.Nodes {
		switch {
		case names[n.Name]:
			return fmt.Errorf("node %s is given twice", n.Name)
		case n.Name == dirCluster:
			return fmt.Errorf("%q is no name for a node: the cluster's own files lie in that directory", dirCluster)
		}
		names[n.Name] = true
		dir := filepath.Join(cfg.Dir, n.Name)
		if _, err := os.Lstat(dir); err == nil {
			return fmt.Errorf("%s: %w", dir, ErrExists)
		}
		if _, err := config.Parse(filepath.Join(dir, fileConfig), cfg.text(n, dir, old)); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

// members returns the cluster addresses of the nodes that are there already.
func members(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", fileConfig))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		c, err := config.Load(f)
		if err != nil {
			return nil, err
		}
		out = append(out, c.Advertise())
	}
	return out, nil
}

// found makes a cluster: its CA, keys and first token.
func found(root string, now time.Time) (token string, err error) {
	ca, err := pki.CreateCA(pki.NewClusterID(), now)
	if err != nil {
		return "", err
	}
	credential := client.NewCredential()
	hash := credential.Hash()
	identity, err := json.MarshalIndent(node.Identity{
		ClusterID: ca.ClusterID, Generation: 1,
		AdminToken: node.AdminToken{ID: credential.ID, SHA256: hex.EncodeToString(hash[:])},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	return credential.String(), write(root, map[string][]byte{
		node.FileCA:         ca.CertPEM,
		fileCAKey:           ca.KeyPEM,
		node.FileGossipKey:  key(),
		node.FileClusterKey: key(),
		node.FileCluster:    append(identity, '\n'),
	})
}

func key() []byte { return []byte(hex.EncodeToString(pki.NewGossipKey()) + "\n") }

// load reads a cluster's directory: its CA, and the files that every node gets.
func load(root string) (pki.CA, map[string][]byte, error) {
	shared := map[string][]byte{}
	for _, name := range []string{node.FileCA, fileCAKey, node.FileGossipKey, node.FileClusterKey, node.FileCluster} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return pki.CA{}, nil, err
		}
		shared[name] = b
	}
	ca, err := pki.LoadCA(shared[node.FileCA], shared[fileCAKey])
	delete(shared, fileCAKey)
	return ca, shared, err
}

// issue makes a node's directory.
func (cfg *Config) issue(ca pki.CA, shared map[string][]byte, n Node, old []string, now time.Time) (MadeNode, error) {
	creds, err := ca.IssueNode(n.Name, []string{n.IP.String(), "localhost"}, now)
	if err != nil {
		return MadeNode{}, err
	}
	dir := filepath.Join(cfg.Dir, n.Name)
	text := cfg.text(n, dir, old)
	file := filepath.Join(dir, fileConfig)
	parsed, err := config.Parse(file, text)
	if err != nil {
		return MadeNode{}, err
	}
	files := map[string][]byte{node.FileCert: creds.CertPEM, node.FileKey: creds.KeyPEM, fileConfig: text}
	for name, content := range shared {
		files[name] = content
	}
	return MadeNode{Name: n.Name, File: file, API: parsed.HTTP.Listen, Joined: len(old) > 0}, write(dir, files)
}

// write makes files that only their owner can read.
func write(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
