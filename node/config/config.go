// Package config is a node's configuration: the TOML file, its documented
// defaults and one validation that names key, line and column.
//
// What can change while the cluster runs (accounts, gateways, rates, system
// parameters) is not configuration: it lives in the replicated state. What is
// here is what a process must know before it can talk to anybody.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Config is a node's configuration file.
type Config struct {
	Node    Node      `toml:"node"`
	Cluster Cluster   `toml:"cluster"`
	Address []Address `toml:"address"`
	SIP     SIP       `toml:"sip"`
	Media   Media     `toml:"media"`
	HTTP    HTTP      `toml:"http"`
	Log     Log       `toml:"log"`
	Chaos   Chaos     `toml:"chaos"`
}

// Node says who the process is.
type Node struct {
	Name    string `toml:"name"`     // names the node for ever; default: the host's name
	Zone    string `toml:"zone"`     // failure domain, shown only
	DataDir string `toml:"data_dir"` // default /var/lib/tandem
	Role    string `toml:"role"`     // "full" (default) or "witness": votes and stores, no calls
	// Drain is how long a node that is told to stop (SIGTERM) may take to give its
	// calls and addresses to others; default 30s, "0s": it stops at once.
	Drain *Duration `toml:"drain"`
}

// Cluster says how the members find each other.
type Cluster struct {
	Bind   string   `toml:"bind"` // IP address; default 127.0.0.1
	Port   uint16   `toml:"port"` // default 7946, TCP and UDP
	Join   []string `toml:"join"` // other members, host or host:port
	Expect int      `toml:"expect"`
}

// Address is a service address: what Contacts and SDP carry, and what moves to a
// survivor.
type Address struct {
	IP          string   `toml:"ip"`
	Public      string   `toml:"public"`    // written into Contacts and SDP; default: ip
	Move        string   `toml:"move"`      // "bind" (default), "netlink", "hook", "reinvite"
	Interface   string   `toml:"interface"` // netlink
	Hook        string   `toml:"hook"`
	HookTimeout Duration `toml:"hook_timeout"` // default 5s
}

// SIP is signalling on each service address.
type SIP struct {
	Port       uint16   `toml:"port"`       // default 5060
	TLSPort    uint16   `toml:"tls_port"`   // default 5061
	WebPort    uint16   `toml:"ws_port"`    // default 8088
	Transports []string `toml:"transports"` // default udp, tcp; also tls and one of ws, wss
	// Certificate and Key are PEM files for tls and wss, Peers one of the authorities
	// whose certificates trunks show.
	Certificate string   `toml:"certificate"`
	Key         string   `toml:"key"`
	Peers       string   `toml:"peers"`
	Origins     []string `toml:"origins"`   // web pages that may use ws or wss: "https://phone.example.com"
	Hold        Duration `toml:"hold"`      // how long an INVITE waits for a leader; default 4s
	MaxCalls    int      `toml:"max_calls"` // live calls of this node; 0: no limit
	MaxCPS      int      `toml:"max_cps"`   // new calls a second of this node; 0: no limit
	Trusted     []string `toml:"trusted"`   // networks that get a 403 where others get silence
}

// Media is the relay.
type Media struct {
	Ports string `toml:"ports"` // default "20000-39999"
}

// HTTP is the API and the metrics.
type HTTP struct {
	Listen string `toml:"listen"` // default 127.0.0.1:8443; TLS unless the address is a loopback one
}

// Log is the process's own log, on standard error.
type Log struct {
	Level  string `toml:"level"`  // debug, info (default), warn, error
	Format string `toml:"format"` // text (default on a terminal) or json
}

// Chaos allows injected faults.
type Chaos struct {
	Enabled bool `toml:"enabled"`
}

// Duration is a time.Duration written as "4s".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"4s\" or \"500ms\"", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Error is what is wrong with a file: where, what, and the lines around it with
// a caret below the key.
type Error struct {
	File    string
	Line    int // from 1; 0: unknown
	Key     string
	Problem string
	Excerpt string // several lines; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, ": %s", e.Key)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Excerpt != "" {
		b.WriteString("\n" + e.Excerpt)
	}
	return b.String()
}

// Load reads, completes and validates a file. Errors are *Error.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		problem := err.Error()
		if at := new(fs.PathError); errors.As(err, &at) {
			problem = at.Err.Error() // the file is named already
		}
		return Config{}, &Error{File: path, Problem: problem}
	}
	return Parse(path, text)
}

// Parse is Load for a text; name stands in errors.
func Parse(name string, text []byte) (Config, error) {
	var c Config
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, Located(name, err)
	}
	if err := c.complete(); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		var at *Error
		if errors.As(err, &at) {
			at.File = name
			at.Line, at.Excerpt = find(text, at.Key)
		}
		return Config{}, err
	}
	return c, nil
}

// Located says where in a file the TOML decoder found an error, and what is wrong
// in words of the file.
func Located(name string, err error) *Error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, _ := first.Position()
		return &Error{
			File: name, Line: row, Key: strings.Join(first.Key(), "."),
			Problem: "unknown key", Excerpt: first.String(),
		}
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		row, _ := bad.Position()
		said := strings.TrimPrefix(bad.Error(), "toml: ")
		problem := inWords(said)
		return &Error{
			File: name, Line: row, Key: strings.Join(bad.Key(), "."),
			Problem: problem, Excerpt: strings.Replace(bad.String(), said, problem, 1),
		}
	}
	return &Error{File: name, Problem: err.Error()}
}

// inWords turns the decoder's "cannot decode TOML string into struct field
// config.Cluster.Expect of type int" into "is of the kind string, want a whole
// number".
func inWords(said string) string {
	rest, ok := strings.CutPrefix(said, "cannot decode TOML ")
	got, target, cut := strings.Cut(rest, " into ")
	if !ok || !cut {
		return said
	}
	if i := strings.LastIndex(target, " of type "); i >= 0 {
		target = target[i+len(" of type "):]
	}
	problem := "is of the kind " + got
	switch {
	case strings.HasPrefix(target, "[]"):
		problem += ", want a list"
	case strings.HasPrefix(target, "int"), strings.HasPrefix(target, "uint"):
		problem += ", want a whole number"
	case target == "bool":
		problem += ", want true or false"
	case target == "string":
		problem += ", want a text in quotes"
	case strings.HasPrefix(target, "struct"), strings.HasPrefix(target, "map["):
		problem += ", want a table"
	}
	return problem
}

// complete fills in the defaults.
func (c *Config) complete() error {
	if c.Node.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return &Error{Key: "node.name", Problem: "is not set and the host has no name"}
		}
		c.Node.Name = host
	}
	orText(&c.Node.DataDir, "/var/lib/tandem")
	orText(&c.Node.Role, "full")
	if c.Node.Drain == nil {
		d := Duration(30 * time.Second)
		c.Node.Drain = &d
	}
	orText(&c.Cluster.Bind, "127.0.0.1")
	orPort(&c.Cluster.Port, 7946)
	orPort(&c.SIP.Port, 5060)
	orPort(&c.SIP.TLSPort, 5061)
	orPort(&c.SIP.WebPort, 8088)
	if c.SIP.Transports == nil {
		c.SIP.Transports = []string{"udp", "tcp"}
	}
	if c.SIP.Hold == 0 {
		c.SIP.Hold = Duration(4 * time.Second)
	}
	orText(&c.Media.Ports, "20000-39999")
	orText(&c.HTTP.Listen, "127.0.0.1:8443")
	orText(&c.Log.Level, "info")
	for i := range c.Address {
		a := &c.Address[i]
		orText(&a.Public, a.IP)
		orText(&a.Move, "bind")
		if a.HookTimeout == 0 {
			a.HookTimeout = Duration(5 * time.Second)
		}
	}
	for i, peer := range c.Cluster.Join {
		if _, _, err := net.SplitHostPort(peer); err != nil {
			c.Cluster.Join[i] = net.JoinHostPort(peer, strconv.Itoa(int(c.Cluster.Port)))
		}
	}
	return nil
}

func orText(s *string, def string) {
	if *s == "" {
		*s = def
	}
}

func orPort(p *uint16, def uint16) {
	if *p == 0 {
		*p = def
	}
}

// Advertise is the host:port at which peers reach the node.
func (c *Config) Advertise() string {
	return net.JoinHostPort(c.Cluster.Bind, strconv.Itoa(int(c.Cluster.Port)))
}

// Witness says whether the node only votes and stores.
func (c *Config) Witness() bool { return c.Node.Role == "witness" }

// Loopback says whether the HTTP listener is on a loopback address, where it
// needs no TLS.
func (h HTTP) Loopback() bool {
	ap, err := netip.ParseAddrPort(h.Listen)
	return err == nil && ap.Addr().IsLoopback()
}
