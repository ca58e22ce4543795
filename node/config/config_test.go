package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/node/config"
)

const good = `
[node]
name = "n1"
[cluster]
bind = "127.0.0.11"
join = ["127.0.0.12", "127.0.0.13:9000"]
expect = 3
[[address]]
ip = "127.0.0.11"
`

func TestDefaults(t *testing.T) {
	c, err := config.Parse("t.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cluster.Join[0] != "127.0.0.12:7946" || c.Cluster.Join[1] != "127.0.0.13:9000" {
		t.Errorf("join = %v", c.Cluster.Join)
	}
	if c.SIP.Port != 5060 || time.Duration(c.SIP.Hold) != 4*time.Second || c.Media.Ports != "20000-39999" {
		t.Errorf("defaults: %+v %+v", c.SIP, c.Media)
	}
	if a := c.Address[0]; a.Public != "127.0.0.11" || a.Move != "bind" {
		t.Errorf("address = %+v", a)
	}
	if got := c.Advertise(); got != "127.0.0.11:7946" {
		t.Errorf("advertise = %s", got)
	}
}

// Each bad file names its key, its line, and what would be right.
func TestBadFiles(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", good + "prot = 5060\n", "t.toml:10: address.prot: unknown key\n"},
		{"unknown table", good + "[spi]\nport = 1\n", "unknown key"},
		{"type", good + "[sip]\nport = \"x\"\n", "t.toml:11: sip.port: is of the kind string, want a whole number\n"},
		{"list", good + "[sip]\ntransports = \"udp\"\n", "~~~~~ is of the kind string, want a list"},
		{"after a comment", good + "[sip] # port 5060\ntransports = [\"sctp\"]\n", "t.toml:11: sip.transports: \"sctp\""},
		{"syntax", "[node\n", "t.toml:1"},
		{"duration", good + "[sip]\nhold = \"4\"\n", "is not a duration"},
		{"role", strings.Replace(good, `name = "n1"`, "role = \"boss\"", 1), "t.toml:3: node.role: \"boss\": want one of full, witness\n3| role = \"boss\"\n   ^^^^"},
		{"name", strings.Replace(good, `"n1"`, `"n 1"`, 1), "node.name: \"n 1\""},
		{"bind", strings.Replace(good, `"127.0.0.11"`, `"0.0.0.0"`, 1), "t.toml:5: cluster.bind"},
		{"nobody to join", "[node]\nname=\"a\"\n[[address]]\nip=\"127.0.0.1\"\n", "neither start a cluster nor join one"},
		{"wildcard", strings.Replace(good, `ip = "127.0.0.11"`, `ip = "0.0.0.0"`, 1), "t.toml:9: address.ip"},
		{"ports", good + "[media]\nports = \"20000\"\n", "t.toml:11: media.ports"},
		{"tls without a certificate", good + "[sip]\ntransports = [\"udp\", \"tls\"]\n", "sip.certificate: is missing"},
		{"ws and wss", good + "[sip]\ntransports = [\"udp\", \"ws\", \"wss\"]\n", "t.toml:11: sip.transports: ws and wss"},
		{"ws for nobody", good + "[sip]\ntransports = [\"udp\", \"ws\"]\n", "sip.origins: is missing"},
		{"hook", good + "move = \"hook\"\n", "address.hook: is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("t.toml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestLoadNamesAMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.toml")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v", err)
	}
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Error(err)
	}
}
