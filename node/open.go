package node

import (
	"cmp"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tandem/cluster"
	"tandem/cluster/outbox"
	"tandem/cluster/pki"
	"tandem/cluster/store"
	"tandem/cluster/transport"
	"tandem/fsm"
	"tandem/media"
	"tandem/node/cdr"
	"tandem/node/config"
	"tandem/node/health"
)

// The files of a data directory, made by "tandem init".
const (
	FileCA         = "pki/ca.pem"
	FileCert       = "pki/node.pem"
	FileKey        = "pki/node.key"
	FileGossipKey  = "pki/gossip.key"  // 32 bytes, hex
	FileClusterKey = "pki/cluster.key" // 32 bytes, hex
	FileCluster    = "cluster.json"
	fileLog        = "raft.db"
	fileOutbox     = "outbox.db"
	dirCDRs        = "cdr"
)

// resolvConf names the host's name servers.
const resolvConf = "/etc/resolv.conf"

// Identity is what cluster.json says.
type Identity struct {
	ClusterID  string     `json:"cluster_id"`
	Generation uint32     `json:"generation"`
	AdminToken AdminToken `json:"admin_token"`
}

// AdminToken is the first administrator's token, without its secret.
type AdminToken struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // hex
}

// ErrNotInitialized says that the data directory was not made by "tandem init".
var ErrNotInitialized = errors.New("data directory is not initialized")

// ErrInUse says that another process has the data directory open.
var ErrInUse = store.ErrInUse

// Open makes a node from its configuration file: it reads the data directory,
// opens stores and sockets. fatal is called when the process must end at once.
func Open(file config.Config, version string, log *slog.Logger, fatal func(error)) (*Node, error) {
	o := &opening{file: file, log: log}
	opts, err := o.options(version, fatal)
	if err == nil {
		var n *Node
		if n, err = New(opts); err == nil {
			n.opened = o.opened
			return n, nil
		}
	}
	return nil, errors.Join(err, o.close())
}

// opening collects what has to be closed again, newest first.
type opening struct {
	file   config.Config
	log    *slog.Logger
	opened []func() error
}

func (o *opening) close() error { return closeAll(o.opened) }

// closeAll closes what is not closed yet: servers close their own listeners.
func closeAll(fns []func() error) error {
	var err error
	for _, f := range slices.Backward(fns) {
		if cerr := f(); !errors.Is(cerr, net.ErrClosed) {
			err = errors.Join(err, cerr)
		}
	}
	return err
}

func (o *opening) path(name string) string { return filepath.Join(o.file.Node.DataDir, name) }

func (o *opening) options(version string, fatal func(error)) (Options, error) {
	id, creds, err := o.identity()
	if err != nil {
		return Options{}, err
	}
	gossip, err := o.key(FileGossipKey)
	if err != nil {
		return Options{}, err
	}
	secret, err := o.key(FileClusterKey)
	if err != nil {
		return Options{}, err
	}
	opts := Options{
		Secret: secret, Version: version, Zone: o.file.Node.Zone, Witness: o.file.Witness(),
		Network: SystemNetwork{}, Logger: o.log,
		SIP: SIP{
			Port: o.file.SIP.Port, TCP: slices.Contains(o.file.SIP.Transports, "tcp"),
			Hold: time.Duration(o.file.SIP.Hold), MaxCalls: o.file.SIP.MaxCalls,
		},
		Outbox: outbox.Config{BootID: bootID(), Boot: sinceBoot},
	}
	if opts.FirstToken, err = id.token(); err != nil {
		return Options{}, err
	}
	if opts.SIP.Secure, err = loadSecure(&o.file.SIP); err != nil {
		return Options{}, err
	}
	first, last, _ := o.file.Media.Range()
	opts.Media = media.PortRange{First: first, Last: last}
	o.addresses(&opts)
	if opts.Cluster, err = o.cluster(id, creds, gossip, fatal); err != nil {
		return Options{}, err
	}
	queue, err := store.OpenQueue(o.path(fileOutbox))
	if err != nil {
		return Options{}, err
	}
	o.opened = append(o.opened, queue.Close)
	opts.Outbox.Store = queue
	if opts.CDRs, err = cdr.Open(o.path(dirCDRs), o.log); err != nil {
		return Options{}, err
	}
	if dns, err := health.NewDNS(resolvConf); err != nil {
		o.log.Warn("host names of gateways are not resolved", "err", err)
	} else {
		opts.Names = dns
	}
	if opts.HTTP, err = o.http(creds); err != nil {
		return Options{}, err
	}
	return opts, nil
}

// addresses copies what the configuration has validated.
func (o *opening) addresses(opts *Options) {
	for _, a := range o.file.Address {
		opts.Addresses = append(opts.Addresses, Address{
			IP: netip.MustParseAddr(a.IP), Public: netip.MustParseAddr(a.Public), Move: a.Move,
		})
		// Addresses of other nodes come the same way as our own.
		opts.Moving.Interface = cmp.Or(opts.Moving.Interface, a.Interface)
		if opts.Moving.Script == "" {
			opts.Moving.Script, opts.Moving.Timeout = a.Hook, time.Duration(a.HookTimeout)
		}
	}
	for _, a := range append(o.file.Cluster.Join, o.file.Advertise()) {
		if ap, err := netip.ParseAddrPort(a); err == nil {
			opts.Denied = append(opts.Denied, netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()))
		}
	}
	for _, t := range o.file.SIP.Trusted {
		opts.Trusted = append(opts.Trusted, netip.MustParsePrefix(t))
	}
}

// identity reads who this node is and which cluster it belongs to.
func (o *opening) identity() (Identity, pki.Credentials, error) {
	var id Identity
	b, err := os.ReadFile(o.path(FileCluster))
	if errors.Is(err, fs.ErrNotExist) {
		return id, pki.Credentials{}, fmt.Errorf("%s: %w", o.file.Node.DataDir, ErrNotInitialized)
	}
	if err != nil {
		return id, pki.Credentials{}, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, pki.Credentials{}, fmt.Errorf("%s: %w", o.path(FileCluster), err)
	}
	var pem [3][]byte
	for i, name := range []string{FileCert, FileKey, FileCA} {
		if pem[i], err = os.ReadFile(o.path(name)); err != nil {
			return id, pki.Credentials{}, err
		}
	}
	creds, err := pki.Load(pem[0], pem[1], pem[2])
	if err != nil {
		return id, creds, fmt.Errorf("%s: %w", o.path("pki"), err)
	}
	switch {
	case creds.ClusterID != id.ClusterID:
		return id, creds, fmt.Errorf("%s belongs to cluster %s, the certificate to %s", FileCluster, id.ClusterID, creds.ClusterID)
	case creds.Node != o.file.Node.Name:
		return id, creds, fmt.Errorf("node.name is %q, but the certificate in %s is for %q", o.file.Node.Name, o.path("pki"), creds.Node)
	}
	return id, creds, nil
}

// key reads a key of 32 bytes written as hex.
func (o *opening) key(name string) ([]byte, error) {
	b, err := os.ReadFile(o.path(name))
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s: want 32 bytes as 64 hex digits", o.path(name))
	}
	return key, nil
}

func (id Identity) token() (fsm.Token, error) {
	if id.AdminToken.ID == "" {
		return fsm.Token{}, nil
	}
	hash, err := hex.DecodeString(id.AdminToken.SHA256)
	if err != nil || len(hash) != 32 {
		return fsm.Token{}, fmt.Errorf("%s: admin_token.sha256: want 64 hex digits", FileCluster)
	}
	return fsm.Token{ID: id.AdminToken.ID, Name: "admin", Hash: [32]byte(hash), Role: "admin"}, nil
}

// cluster opens the stores and the port of consensus.
func (o *opening) cluster(id Identity, creds pki.Credentials, gossip []byte, fatal func(error)) (cluster.Config, error) {
	log, err := store.OpenLog(o.path(fileLog))
	if err != nil {
		return cluster.Config{}, err
	}
	o.opened = append(o.opened, log.Close)
	snapshots, err := store.Snapshots(o.file.Node.DataDir)
	if err != nil {
		return cluster.Config{}, err
	}
	stream, err := net.Listen("tcp", o.file.Advertise())
	if err != nil {
		return cluster.Config{}, fmt.Errorf("cluster port: %w", err)
	}
	o.opened = append(o.opened, stream.Close)
	datagram, err := net.ListenPacket("udp", o.file.Advertise())
	if err != nil {
		return cluster.Config{}, fmt.Errorf("cluster port: %w", err)
	}
	network, err := transport.New(transport.Config{
		Credentials: creds, Generation: id.Generation, Stream: stream, Datagram: datagram, Logger: o.log,
	})
	if err != nil {
		return cluster.Config{}, errors.Join(err, datagram.Close())
	}
	o.opened[len(o.opened)-1] = network.Close
	return cluster.Config{
		ID: o.file.Node.Name, ClusterID: id.ClusterID, Generation: id.Generation,
		Network: network, Advertise: o.file.Advertise(), Join: o.file.Cluster.Join, Expect: o.file.Cluster.Expect,
		Log: log, Stable: log, Snapshots: snapshots,
		Keep:    keepIn(o.path("diverged")),
		Keyring: [][]byte{gossip}, Logger: o.log, Fatal: fatal,
	}, nil
}

// http opens the API's port: plain on a loopback address, TLS elsewhere.
func (o *opening) http(creds pki.Credentials) (net.Listener, error) {
	l, err := net.Listen("tcp", o.file.HTTP.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	o.opened = append(o.opened, l.Close)
	if o.file.HTTP.Loopback() {
		return l, nil
	}
	cfg, err := creds.TLS(time.Now)
	if err != nil {
		return nil, err
	}
	cfg.ClientAuth, cfg.VerifyConnection = tls.NoClientCert, nil // callers prove themselves by token
	cfg.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(l, cfg), nil
}
