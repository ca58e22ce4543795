package api

import (
	"net/http"
	"strings"
	"testing"

	"tandem/fsm"
	"tandem/node/api/client"
)

// second brings up another node with a service address.
func (w *world) second() {
	w.t.Helper()
	w.must(&fsm.NodeUp{
		Node: "n2", Incarnation: 5, Level: fsm.Level, Version: "1.2.3",
		Addresses: []fsm.ServiceAddress{{IP: "10.0.0.12", Public: "203.0.113.12", Move: fsm.MoveNetlink}},
	})
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.admin.Drain(t.Context(), "n1", client.DrainRequest{})
	p := wants(t, err, http.StatusConflict, client.CodeConflict)
	if p.Detail != "node n1 cannot drain: no other node can take its calls (it is the only full node)" || p.Hint == "" {
		t.Errorf("problem %+v", p)
	}
	w.second()
	n, r, err := w.as(client.RoleOperator).Drain(t.Context(), "n1", client.DrainRequest{Reason: "new disk"})
	if err != nil || r.Index == 0 || !n.Draining || n.DrainBy != client.RoleOperator || n.DrainReason != "new disk" || !n.Drained {
		t.Errorf("%+v, %+v, %v", n, r, err)
	}
	_, _, err = w.admin.Drain(t.Context(), "n2", client.DrainRequest{})
	if p := wants(t, err, http.StatusConflict, client.CodeConflict); !strings.Contains(p.Detail, "(n1 drains too)") {
		t.Errorf("problem %+v", p)
	}
	if n, _, err = w.admin.Undrain(t.Context(), "n1"); err != nil || n.Draining || n.DrainReason != "" {
		t.Errorf("%+v, %v", n, err)
	}
	_, _, err = w.admin.Drain(t.Context(), "n9", client.DrainRequest{})
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	_, _, err = w.as(client.RoleViewer).Drain(t.Context(), "n1", client.DrainRequest{})
	wants(t, err, http.StatusForbidden, client.CodeForbidden)
}

// A node that owns a call or an address that could move is not drained.
func TestNodes(t *testing.T) {
	w := newWorld(t)
	w.business()
	w.second()
	w.place(1, "861380013800")
	list, err := w.admin.Nodes(t.Context())
	if err != nil || len(list.Items) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if n := list.Items[0]; n.Node != "n1" || !n.Up || n.Calls != 1 || n.Draining {
		t.Errorf("%+v", n)
	}
	n, _, err := w.admin.Drain(t.Context(), "n2", client.DrainRequest{})
	if err != nil || n.Drained || len(n.Addresses) != 1 || n.Addresses[0].Public != "203.0.113.12" || n.Addresses[0].Home != "n2" {
		t.Errorf("%+v, %v", n, err)
	}
	addresses, err := w.admin.ServiceAddresses(t.Context())
	if err != nil || len(addresses.Items) != 1 || addresses.Items[0].Owner != "n2" || addresses.Items[0].Move != fsm.MoveNetlink {
		t.Errorf("%+v, %v", addresses, err)
	}
}

func TestRemoveNode(t *testing.T) {
	w := newWorld(t)
	w.second()
	_, _, err := w.admin.RemoveNode(t.Context(), "n2", true)
	if p := wants(t, err, http.StatusConflict, client.CodeConflict); !strings.Contains(p.Hint, "tandem node drain n2") {
		t.Errorf("problem %+v", p)
	}
	w.must(&fsm.NodeDown{Node: "n2", Incarnation: 5, Exited: true})
	_, _, err = w.admin.RemoveNode(t.Context(), "n2", false)
	if p := wants(t, err, http.StatusConflict, client.CodeConflict); !strings.Contains(p.Detail, "2 voters would be left") {
		t.Errorf("problem %+v", p)
	}
	if _, _, err = w.admin.RemoveNode(t.Context(), "n2", true); err != nil || len(w.gone) != 1 {
		t.Errorf("%v, removed %v", err, w.gone)
	}
	_, _, err = w.admin.Node(t.Context(), "n2")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
}

func TestRaiseLevel(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.admin.RaiseLevel(t.Context(), fsm.Level); err != nil {
		t.Error(err)
	}
	_, _, err := w.admin.RaiseLevel(t.Context(), fsm.Level+1)
	if p := wants(t, err, http.StatusConflict, "unsupported"); p.Hint == "" {
		t.Errorf("problem %+v", p)
	}
	if s, _, err := w.admin.TransferLeadership(t.Context()); err != nil || s.Leader != "n2" {
		t.Errorf("%+v, %v", s, err)
	}
}
