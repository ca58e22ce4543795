package setup_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/cluster/pki"
	"tandem/node"
	"tandem/node/api/client"
	"tandem/node/config"
	"tandem/node/setup"
)

func three(dir string) setup.Config {
	cfg := setup.Config{Dir: dir}
	for i, name := range []string{"n1", "n2", "n3"} {
		cfg.Nodes = append(cfg.Nodes, setup.Node{Name: name, IP: netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)})})
	}
	return cfg
}

func credentials(t *testing.T, dir string) pki.Credentials {
	t.Helper()
	var pem [3][]byte
	for i, name := range []string{node.FileCert, node.FileKey, node.FileCA} {
		var err error
		if pem[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := pki.Load(pem[0], pem[1], pem[2])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewCluster(t *testing.T) {
	dir := t.TempDir()
	made, err := setup.Run(three(dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range made.Nodes {
		file, err := config.Load(n.File)
		if err != nil {
			t.Fatal(err)
		}
		if file.Node.Name != n.Name || file.Cluster.Expect != 3 || len(file.Cluster.Join) != 2 || file.HTTP.Listen != n.API {
			t.Errorf("node %d: %+v", i+1, file)
		}
		if slices.Contains(file.Cluster.Join, file.Advertise()) {
			t.Errorf("%s joins itself", n.Name)
		}
		if c := credentials(t, file.Node.DataDir); c.Node != n.Name || c.ClusterID != made.ClusterID {
			t.Errorf("certificate of %s in %s", c.Node, c.ClusterID)
		}
	}
	credential, err := client.ParseCredential(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	var id node.Identity
	text, err := os.ReadFile(filepath.Join(dir, "n2", node.FileCluster))
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if sum := sha256.Sum256([]byte(credential.Secret)); err != nil || id.AdminToken.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("identity %s, %v", text, err)
	}
}

// Nothing but the owner reads what was made, the CA's key and the token are not
// with the nodes.
func TestSecretsStayPut(t *testing.T) {
	dir := t.TempDir()
	made, err := setup.Run(three(dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	credential, err := client.ParseCredential(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasSuffix(path, "ca.key") && !strings.Contains(path, "/cluster/") {
			t.Errorf("the key of the CA is at %s", path)
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), credential.Secret) {
			t.Errorf("%s contains the token", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is refused leaves nothing behind: the next run would find a cluster whose
// token nobody was told.
func TestRefusedLeavesNothing(t *testing.T) {
	ip := netip.MustParseAddr("127.0.0.11")
	for _, nodes := range [][]setup.Node{
		{{Name: "n1", IP: ip}, {Name: "n1", IP: ip}},
		{{Name: "cluster", IP: ip}},
		{{Name: "n1", IP: ip}, {Name: "n 2", IP: ip}},
		{{Name: "../n1", IP: ip}},
	} {
		dir := filepath.Join(t.TempDir(), "made")
		if _, err := setup.Run(setup.Config{Dir: dir, Nodes: nodes}, time.Now()); err == nil {
			t.Errorf("%v: no error", nodes)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: something was made (%v)", nodes, err)
		}
	}
}

func TestAddNode(t *testing.T) {
	dir := t.TempDir()
	first, err := setup.Run(three(dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := setup.Run(three(dir), time.Now()); !errors.Is(err, setup.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	made, err := setup.Run(setup.Config{
		Dir: dir, Nodes: []setup.Node{{Name: "n4", IP: netip.MustParseAddr("127.0.0.14")}}, DataDir: "/var/lib/tandem",
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if made.ClusterID != first.ClusterID || made.Token != "" || !made.Nodes[0].Joined {
		t.Errorf("made %+v", made)
	}
	file, err := config.Load(made.Nodes[0].File)
	if err != nil {
		t.Fatal(err)
	}
	if file.Cluster.Expect != 0 || len(file.Cluster.Join) != 3 || file.Node.DataDir != "/var/lib/tandem" {
		t.Errorf("configuration %+v", file)
	}
	if c := credentials(t, filepath.Join(dir, "n4")); c.ClusterID != first.ClusterID {
		t.Errorf("certificate of %s", c.ClusterID)
	}
}
