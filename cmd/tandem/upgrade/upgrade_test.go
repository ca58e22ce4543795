package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/node/api/client"
)

// world is a cluster that plays its part: a drain takes a moment, a restart makes
// a new life with the version that is installed.
type world struct {
	t *testing.T

	mu        sync.Mutex // guards what follows
	nodes     map[string]*client.Node
	leader    string
	level     uint16
	installed string   // version
	log       []string // what was done
	wrongHash string   // node whose state differs
	dead      string   // node that does not come back
}

func newWorld(t *testing.T) (*world, *Fleet) {
	t.Helper()
	w := &world{t: t, nodes: map[string]*client.Node{}, leader: "n1", level: 1, installed: "v2"}
	var all *client.Client
	var each []*client.Client
	for _, name := range []string{"n1", "n2", "n3"} {
		w.nodes[name] = &client.Node{Node: name, Up: true, Incarnation: 1, Version: "v1", Level: 1, Calls: 5, Addresses: []client.ServiceAddress{{IP: name}}}
		srv := httptest.NewServer(http.StripPrefix(client.Prefix, w.handler(name)))
		t.Cleanup(srv.Close)
		c, err := client.New(client.Config{Addrs: []string{srv.URL}})
		if err != nil {
			t.Fatal(err)
		}
		each, all = append(each, c), c
	}
	f, err := NewFleet(t.Context(), all, each)
	if err != nil {
		t.Fatal(err)
	}
	return w, f
}

// handler is the API of one node.
func (w *world) handler(name string) http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, do func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err := json.NewEncoder(rw).Encode(do(r)); err != nil {
				w.t.Error(err)
			}
		})
	}
	answer("GET /status", func(*http.Request) any {
		s := client.Status{Cluster: "c1", Node: name, Leader: w.leader, Health: client.Healthy, Level: w.level, Ready: w.nodes[name].Up, Applied: 1000}
		for _, n := range w.nodes {
			if !n.Up {
				s.Health = client.Degraded
			}
		}
		return s
	})
	answer("GET /nodes", func(*http.Request) any {
		list := client.List[client.Node]{}
		for _, n := range w.nodes {
			list.Items = append(list.Items, *n)
		}
		return list
	})
	answer("GET /nodes/{id}", func(r *http.Request) any { return w.nodes[r.PathValue("id")] })
	answer("POST /nodes/{id}/drain", func(r *http.Request) any {
		n := w.nodes[r.PathValue("id")]
		w.log = append(w.log, "drain "+n.Node)
		n.Draining, n.Drained, n.Calls, n.Addresses = true, true, 0, []client.ServiceAddress{}
		if w.leader == n.Node {
			w.leader = map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[n.Node]
		}
		return n
	})
	answer("GET /raft/hashes", func(*http.Request) any {
		hash := "same"
		if name == w.wrongHash {
			hash = "other"
		}
		return client.List[client.Checkpoint]{Items: []client.Checkpoint{{Index: 2048, Hash: hash}, {Index: 1024, Hash: hash}}}
	})
	answer("PUT /level", func(r *http.Request) any {
		var l client.LevelSetting
		if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
			w.t.Error(err)
		}
		w.level = l.Level
		w.log = append(w.log, fmt.Sprint("level ", l.Level))
		return client.Done{}
	})
	return mux
}

// config rolls the world to v2, whose programs know feature level 2.
func (w *world) config(f *Fleet, path string) Config {
	return Config{
		Fleet: f, Store: NewStore(path), Want: "v2", Report: func(string, string) {},
		Waits: Waits{Drain: time.Second, Return: time.Second, Home: time.Second, Hash: time.Second},
		Restart: func(_ context.Context, n client.Node) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.log = append(w.log, "restart "+n.Node)
			if n.Node == w.dead {
				w.nodes[n.Node].Up = false
				return nil
			}
			*w.nodes[n.Node] = client.Node{Node: n.Node, Up: true, Incarnation: n.Incarnation + 1, Version: w.installed, Level: 2}
			return nil
		},
	}
}

// did returns what was done since the last time.
func (w *world) did() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return strings.Join(log, ", ")
}

func TestRun(t *testing.T) {
	w, f := newWorld(t)
	path := filepath.Join(t.TempDir(), "state", "upgrade.json")
	if err := Run(t.Context(), w.config(f, path)); err != nil {
		t.Fatal(err)
	}
	// n1 leads at first, so it is not the first.
	if did := w.did(); did != "drain n2, restart n2, drain n3, restart n3, drain n1, restart n1, level 2" {
		t.Error(did)
	}
	st, ok, err := NewStore(path).Read()
	if err != nil || !ok || !st.Ended || !slices.Equal(st.Done, []string{"n2", "n3", "n1"}) {
		t.Errorf("%+v, %v, %v", st, ok, err)
	}
}

// A run stops at the first doubt, leaves the other nodes alone, and goes on at that
// node when the reason has gone.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		name, step, why string
		breaks, heals   func(*world)
	}{
		{"the new program does not start", "return", "not announced itself",
			func(w *world) { w.dead = "n2" }, func(w *world) { w.dead = "" }},
		{"it is not the new program", "return", "runs version v1, not v2",
			func(w *world) { w.installed = "v1" }, func(w *world) { w.installed = "v2" }},
		{"its state differs", "hash", "its state differs",
			func(w *world) { w.wrongHash = "n2" }, func(w *world) { w.wrongHash = "" }},
		{"another node is down", "check", "node n3 is down",
			func(w *world) { w.nodes["n3"].Up = false }, func(w *world) { w.nodes["n3"].Up = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, f := newWorld(t)
			c.breaks(w)
			cfg := w.config(f, filepath.Join(t.TempDir(), "upgrade.json"))
			err := Run(t.Context(), cfg)
			var d *Doubt
			if !errors.As(err, &d) || d.Node != "n2" || d.Step != c.step || !strings.Contains(err.Error(), c.why) || d.Next == "" {
				t.Fatalf("%+v", err)
			}
			if did := w.did(); strings.Contains(did, "n3") || strings.Contains(did, "n1") {
				t.Errorf("did %s", did)
			}
			if st, _, err := cfg.Store.Read(); err != nil || st.Stopped == "" || st.Node != "n2" {
				t.Errorf("%+v, %v", st, err)
			}
			w.mu.Lock()
			c.heals(w)
			w.mu.Unlock()
			if err := Run(t.Context(), cfg); err != nil {
				t.Error(err)
			}
			if did := w.did(); !strings.HasSuffix(did, "level 2") {
				t.Errorf("did %s", did)
			}
		})
	}
}

// A pause takes effect before the next step; the next run goes on at the same node.
func TestPause(t *testing.T) {
	w, f := newWorld(t)
	cfg := w.config(f, filepath.Join(t.TempDir(), "upgrade.json"))
	cfg.Replace = func(_ context.Context, n client.Node) error {
		if n.Node == "n3" {
			return cfg.Store.Pause()
		}
		return nil
	}
	if err := Run(t.Context(), cfg); !errors.Is(err, ErrPaused) {
		t.Fatal(err)
	}
	if did := w.did(); did != "drain n2, restart n2, drain n3" {
		t.Error(did)
	}
	cfg.Replace = nil
	if err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if did := w.did(); did != "restart n3, drain n1, restart n1, level 2" {
		t.Error(did)
	}
	cfg.Want = "v3"
	if _, err := cfg.Store.Begin("c1", "v3"); err != nil {
		t.Errorf("a new upgrade after one that has ended: %v", err)
	}
	if _, err := cfg.Store.Begin("c1", "v4"); err == nil {
		t.Error("another upgrade was begun beside one that has not ended")
	}
}
