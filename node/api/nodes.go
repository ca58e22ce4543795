package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/node/backup"
)

// Operator does to the cluster what an operator asks for, from any node.
type Operator interface {
	// Backup writes what the cluster can be restored from.
	Backup(ctx context.Context, w io.Writer) (backup.Manifest, error)
	// Transfer lets another voter lead.
	Transfer(ctx context.Context) error
	// Remove takes a node out of consensus; force allows fewer than three voters.
	Remove(ctx context.Context, node string, force bool) error
}

func (s *server) addNodes(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("nodes", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/nodes", "list-nodes", "List the nodes and what they own"), s.nodes)
	huma.Register(api, op(http.MethodGet, "/nodes/{id}", "get-node", "Show a node and what it owns"), s.node)
	huma.Register(api, op(http.MethodPost, "/nodes/{id}/drain", "drain-node",
		"Let a node run empty: no new calls, its calls and addresses go to others", client.RoleOperator), s.drain)
	huma.Register(api, op(http.MethodPost, "/nodes/{id}/undrain", "undrain-node", "Let a node take calls again", client.RoleOperator), s.undrain)
	huma.Register(api, op(http.MethodDelete, "/nodes/{id}", "remove-node",
		"Take a node that is down and owns nothing out of the cluster", client.RoleAdmin), s.removeNode)
	huma.Register(api, op(http.MethodGet, "/addresses", "list-addresses", "List the service addresses and who owns them"), s.addresses)
	huma.Register(api, op(http.MethodPost, "/raft/transfer", "transfer-leadership", "Let another voter lead", client.RoleOperator), s.transfer)
	huma.Register(api, op(http.MethodPut, "/level", "raise-level", "Put a feature level in force", client.RoleAdmin), s.raiseLevel)
}

func (s *server) nodes(ctx context.Context, _ *Reading) (*page[client.Node], error) {
	var items []client.Node
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		for _, m := range st.Members() {
			items = append(items, showNode(st, &m))
		}
	})
	return listed(ctx, items, "", index), nil
}

// OneNode is a node's name in a path.
type OneNode struct {
	ID string `path:"id" maxLength:"64"`
}

type getNode struct {
	OneNode
	Reading
}

func (s *server) node(_ context.Context, in *getNode) (*object[client.Node], error) {
	return s.findNode(in.ID)
}

// findNode answers with a node.
func (s *server) findNode(id string) (*object[client.Node], error) {
	var out *object[client.Node]
	s.cfg.State.View(func(st *fsm.State) {
		if m, ok := st.Member(fsm.NodeID(id)); ok {
			out = &object[client.Node]{Index: st.Index(), Body: showNode(st, &m)}
		}
	})
	if out == nil {
		return nil, notThere("node %q", id).hint("tandem node list")
	}
	return out, nil
}

func showNode(st *fsm.State, m *fsm.Member) client.Node {
	n := client.Node{
		Node: string(m.Node), Up: m.Up, Since: timeOf(m.Since), Witness: m.Witness, Incarnation: m.Incarnation,
		Version: m.Version, Level: m.Level, Calls: len(st.OwnedCalls(m.Node, m.Incarnation)), Addresses: []client.ServiceAddress{},
		Draining: m.Draining, DrainBy: m.DrainBy, DrainReason: m.DrainReason,
	}
	movable := 0
	for _, a := range st.OwnedAddresses(m.Node, m.Incarnation) {
		n.Addresses = append(n.Addresses, showAddress(&a))
		if a.Move != fsm.MoveReinvite {
			movable++
		}
	}
	n.Drained = n.Draining && n.Calls == 0 && movable == 0
	return n
}

func showAddress(a *fsm.Address) client.ServiceAddress {
	return client.ServiceAddress{
		IP: a.IP, Public: a.Public, Move: cmp.Or(a.Move, fsm.MoveBind), Home: string(a.Home), Owner: string(a.Owner),
		Epoch: uint64(a.Epoch), Since: timeOf(a.Since),
	}
}

func (s *server) addresses(ctx context.Context, _ *Reading) (*page[client.ServiceAddress], error) {
	var items []client.ServiceAddress
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		index = st.Index()
		for _, a := range st.Addresses() {
			items = append(items, showAddress(&a))
		}
	})
	return listed(ctx, items, "", index), nil
}

type drainNode struct {
	OneNode
	Keyed
	Body client.DrainRequest
}

// drain commits the wish. The node itself does the work when it sees that.
func (s *server) drain(ctx context.Context, in *drainNode) (*object[client.Node], error) {
	if err := s.drainable(in.ID); err != nil {
		return nil, err
	}
	return s.setDrain(ctx, in.Key, &fsm.SetDrain{Node: fsm.NodeID(in.ID), On: true, By: asking(ctx).token.Name, Reason: in.Body.Reason})
}

type undrainNode struct {
	OneNode
	Keyed
}

func (s *server) undrain(ctx context.Context, in *undrainNode) (*object[client.Node], error) {
	return s.setDrain(ctx, in.Key, &fsm.SetDrain{Node: fsm.NodeID(in.ID), By: asking(ctx).token.Name})
}

func (s *server) setDrain(ctx context.Context, key string, body *fsm.SetDrain) (*object[client.Node], error) {
	r, err := s.commit(ctx, key, body)
	if err != nil {
		return nil, err
	}
	out, err := s.findNode(string(body.Node))
	if err == nil {
		out.Index = r.Index
	}
	return out, err
}

// drainable refuses to drain a node whose calls nobody could take.
func (s *server) drainable(id string) error {
	var found, up, witness bool
	var others []string
	heir := false
	s.cfg.State.View(func(st *fsm.State) {
		for _, m := range st.Members() {
			switch {
			case string(m.Node) == id:
				found, up, witness = true, m.Up, m.Witness
			case m.Witness:
			case m.Up && !m.Draining:
				heir = true
			case m.Up:
				others = append(others, string(m.Node)+" drains too")
			default:
				others = append(others, string(m.Node)+" is down")
			}
		}
	})
	switch {
	case !found:
		return notThere("node %q", id).hint("tandem node list")
	case witness:
		return problem(http.StatusConflict, client.CodeConflict, "node %s is a witness: it has nothing to drain", id).
			hint("stop it when you like; tandem status says whether the cluster survives that")
	case !up:
		return problem(http.StatusConflict, client.CodeConflict, "node %s is down: others have its calls already", id).hint("tandem node list")
	case !heir:
		why := "it is the only full node"
		if len(others) > 0 {
			why = strings.Join(others, ", ")
		}
		return problem(http.StatusConflict, client.CodeConflict, "node %s cannot drain: no other node can take its calls (%s)", id, why).
			hint("bring another node up, or end its drain: tandem node undrain NODE")
	}
	return nil
}

type deleteNode struct {
	OneNode
	Keyed
	Force bool `query:"force" doc:"Also if fewer than three voters are left"`
}

// removeNode takes a node out of consensus, then out of the state.
func (s *server) removeNode(ctx context.Context, in *deleteNode) (*object[client.Done], error) {
	found, err := s.findNode(in.ID)
	if err != nil {
		return nil, err
	}
	switch n := found.Body; {
	case n.Up:
		return nil, problem(http.StatusConflict, client.CodeConflict, "node %s is not removed: it is up", in.ID).
			hint("tandem node drain %s, then stop its process, then remove it", in.ID)
	case n.Calls > 0:
		return nil, problem(http.StatusConflict, client.CodeConflict, "node %s is not removed: it owns %d calls that nobody could take", in.ID, n.Calls).
			hint("start a full node: it inherits them")
	}
	if err := s.cfg.Operator.Remove(ctx, in.ID, in.Force); err != nil && !strings.Contains(err.Error(), "not a member") {
		return nil, s.operated(err)
	}
	return s.remove(ctx, in.Key, &fsm.RemoveMember{Node: fsm.NodeID(in.ID)})
}

// operated turns an error of the Operator into a problem.
func (s *server) operated(err error) error {
	if !errors.Is(err, cluster.ErrQuorum) && !strings.Contains(err.Error(), cluster.ErrQuorum.Error()) {
		return s.unavailable(err)
	}
	return problem(http.StatusConflict, client.CodeConflict, "%v", err).
		hint("add or start a node first; fewer than three voters: repeat with force (--yes)")
}

func (s *server) transfer(ctx context.Context, _ *struct{}) (*object[client.Status], error) {
	if err := s.cfg.Operator.Transfer(ctx); err != nil {
		return nil, s.operated(err)
	}
	return s.status(ctx, &Reading{})
}

type putLevel struct {
	Keyed
	Body client.LevelSetting
}

func (s *server) raiseLevel(ctx context.Context, in *putLevel) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.RaiseFeatureLevel{Level: in.Body.Level})
}
