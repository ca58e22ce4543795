//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/node/api/client"
)

// emptied removes a node's data and leaves what "tandem init" made.
func (l *lab) emptied(m *member) {
	l.t.Helper()
	dir := filepath.Join(l.dir, "cluster", m.name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "pki" && name != "cluster.json" && name != "tandem.toml" {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// join gives a node the identity of the new generation.
func (l *lab) join(m, of *member) {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, "cluster", of.name, "cluster.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(l.dir, "cluster", m.name, "cluster.json"), b, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// begun is a cluster with a call that goes on and calls that are over.
func begun(t *testing.T) (l *lab, over uint64) {
	t.Helper()
	l = newLab(t, "1000", "")
	l.vendor("vendor")
	l.customers(traffic{prefix: "33", caller: "442079460000", cps: 2, calls: 3, talk: 10 * time.Minute})
	done := l.customers(traffic{prefix: "49", caller: "442079460000", cps: 10, calls: 20, talk: 500 * time.Millisecond})
	l.finish(done, 30*time.Second)
	within(t, 20*time.Second, "3 calls live, 20 are over", func() (bool, string) {
		s, _, err := l.api.Status(t.Context())
		over = s.CDRs
		return err == nil && s.Calls == 3 && s.CDRs >= 20, ""
	})
	return l, over
}

// A cluster is backed up, lost, and restored on one node; the others join it. Calls
// that were live are charged to their last proof of life, the books add up, and
// nodes of the old generation stay outside.
func TestBackup(t *testing.T) {
	l, over := begun(t)
	l.must("backup", "create", "b1")
	l.must("backup", "verify", "b1", "--key", filepath.Join("cluster", "n1", "pki", "cluster.key"))
	l.must("account", "topup", "acme", "77", "--key", "lost")
	for _, m := range l.nodes {
		m.proc.kill()
	}
	out, errs, code := l.command("backup", "restore", "b1", "--config", l.nodes[0].file())
	if code != 1 || !strings.Contains(errs, "holds a node's data") {
		t.Fatalf("restored over data: %d\n%s%s", code, out, errs)
	}
	l.emptied(l.nodes[0])
	t.Log(l.must("backup", "restore", "b1", "--config", l.nodes[0].file()))
	l.generation(over)
}

// The majority is lost for good: the cluster goes on from the one node that is
// left.
func TestRecover(t *testing.T) {
	l, over := begun(t)
	for _, m := range l.nodes {
		m.proc.kill()
	}
	if _, errs, code := l.command("recover", "--config", l.nodes[0].file()); code != 6 {
		t.Fatalf("recovered without --yes: %d %s", code, errs)
	}
	t.Log(l.must("recover", "--yes", "--config", l.nodes[0].file()))
	l.generation(over)
}

// generation starts the first node in its new generation, sees that one of the old
// generation stays out, has the others join, and checks the books.
func (l *lab) generation(over uint64) {
	t := l.t
	t.Helper()
	l.start(l.nodes[0])
	first := l.nodes[0]
	within(t, 20*time.Second, "one node serves", func() (bool, string) {
		s, _, err := first.api.Status(t.Context())
		return err == nil && s.Ready, s.NotReady
	})
	l.start(l.nodes[1]) // with the old generation
	time.Sleep(2 * time.Second)
	if list, err := first.api.Members(t.Context()); err != nil || len(list.Items) != 1 {
		t.Errorf("members %+v, %v", list.Items, err)
	}
	l.nodes[1].proc.kill()
	for _, m := range l.nodes[1:] {
		l.emptied(m)
		l.join(m, first)
		l.start(m)
	}
	l.ready()
	s, _, err := first.api.Status(t.Context())
	if err != nil || s.Calls != 0 || s.CDRs != over+3 {
		t.Errorf("status %+v, %v; there were %d records", s, err, over)
	}
	restored := 0
	for _, c := range all(t, client.CDRQuery{Page: client.Page{Limit: 1000}}, first.api.CDRs) {
		if c.Reason == "restored" {
			restored++
			if !c.Estimated || c.Ended.Before(c.Answered.Time) {
				t.Errorf("record %+v", c)
			}
		}
	}
	if restored != 3 {
		t.Errorf("%d calls ended as restored", restored)
	}
	within(t, 30*time.Second, "all nodes have all records", func() (bool, string) {
		for _, m := range l.nodes {
			list := all(t, client.CDRQuery{Page: client.Page{Limit: 1000}}, m.api.CDRs)
			if uint64(len(list)) != over+3 {
				return false, m.name
			}
		}
		return true, ""
	})
	sums, err := l.api.LedgerSums(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sum := range sums.Items {
		if sum.Sum != 0 || sum.Held != 0 {
			t.Errorf("ledger %+v", sum)
		}
	}
}
