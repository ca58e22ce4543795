package api

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addCalls(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("calls", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/calls", "list-calls", "List live calls"), s.calls)
	huma.Register(api, op(http.MethodGet, "/calls/{id}", "get-call", "Show a live call"), s.call)
	huma.Register(api, op(http.MethodDelete, "/calls/{id}", "end-call",
		"End a live call", client.RoleOperator), s.endCall)
}

type listCalls struct {
	Paging
	Account string `query:"account" maxLength:"64"`
	Gateway string `query:"gateway" maxLength:"64" doc:"Ingress or egress"`
	Node    string `query:"node" maxLength:"64" doc:"Owner"`
	Number  string `query:"number" maxLength:"63" doc:"Normalised caller or callee"`
	State   string `query:"state" enum:"starting,ringing,answered"`
}

func (s *server) calls(ctx context.Context, in *listCalls) (*page[client.Call], error) {
	text, err := in.after()
	if err != nil {
		return nil, err
	}
	var after fsm.CallID
	if text != "" && copy(after[:], text) != len(text) {
		return nil, badField("query.cursor", in.Cursor, "is no cursor of this list")
	}
	var records []fsm.Call
	var at fsm.Time
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		filter := fsm.CallFilter{Account: in.Account, Owner: fsm.NodeID(in.Node), Number: in.Number}
		records, at, index = st.Calls(filter, after, in.Limit), st.At(), st.Index()
	})
	next := ""
	if len(records) == in.Limit {
		next = string(records[len(records)-1].ID[:])
	}
	items := make([]client.Call, 0, len(records))
	for i := range records {
		c := &records[i]
		if (in.Gateway == "" || c.Ingress == in.Gateway || egress(c) == in.Gateway) &&
			(in.State == "" || c.State.String() == in.State) {
			items = append(items, showCall(c, at))
		}
	}
	return listed(ctx, items, next, index), nil
}

// OneCall is a call's id in a path.
type OneCall struct {
	ID string `path:"id" pattern:"^[0-9a-f]{32}$" patternDescription:"a call's id"`
}

type getCall struct {
	OneCall
	Reading
}

func (c *OneCall) id() (id fsm.CallID) {
	_, _ = hex.Decode(id[:], []byte(c.ID)) // the schema has checked it
	return id
}

func (s *server) call(_ context.Context, in *getCall) (*object[client.Call], error) {
	var out *object[client.Call]
	var p *refusal
	s.cfg.State.View(func(st *fsm.State) {
		if c, ok := st.Call(in.id()); ok {
			out = &object[client.Call]{Index: st.Index(), Body: showCall(&c, st.At())}
			return
		}
		p = goneCall(st, &in.OneCall)
	})
	if p != nil {
		return nil, p
	}
	return out, nil
}

// goneCall says where a call is that is not live.
func goneCall(st *fsm.State, in *OneCall) *refusal {
	p := notThere("live call %s", in.ID)
	if seq, ok := st.Ended(in.id()); ok && seq != 0 {
		return p.hint("it has ended: tandem cdr show %d", seq)
	}
	return p.hint("tandem call list; ended calls: tandem cdr search")
}

// endCall commits the end, from any node: the owner then hears of it and hangs
// up both legs.
func (s *server) endCall(ctx context.Context, in *OneCall) (*object[client.Ended], error) {
	var epoch fsm.Epoch
	var p *refusal
	s.cfg.State.View(func(st *fsm.State) {
		c, ok := st.Call(in.id())
		if epoch = c.Epoch; !ok {
			p = goneCall(st, in)
		}
	})
	if p != nil {
		return nil, p
	}
	r, err := s.commit(ctx, "", &fsm.EndCall{
		Call: in.id(), Epoch: epoch, How: fsm.EndDecision, Reason: fsm.EndOperator, By: fsm.ByServer,
		SIPStatus: http.StatusServiceUnavailable, Q850: q850Normal,
	})
	if err != nil {
		return nil, err
	}
	return &object[client.Ended]{Index: r.Index, Body: client.Ended{
		Call: in.ID, CDR: r.CDR, Fee: r.Fee, Index: r.Index, At: timeOf(r.At),
	}}, nil
}

// q850Normal is "normal, unspecified" (Q.850).
const q850Normal = 31

// egress is the routing gateway that rings or answered.
func egress(c *fsm.Call) string {
	if int(c.Candidate) < len(c.Candidates) && c.State != fsm.CallStarting {
		return c.Candidates[c.Candidate].Gateway
	}
	return ""
}

func showCall(c *fsm.Call, at fsm.Time) client.Call {
	out := client.Call{
		ID: callID(c.ID), State: c.State.String(), Node: string(c.Owner), Epoch: uint64(c.Epoch), Account: c.Account,
		Ingress: c.Ingress, Egress: egress(c), Caller: c.Caller, Callee: c.Callee, RawCaller: c.RawCaller, RawCallee: c.RawCallee,
		Source: c.Source.String(), SIPCallID: c.SIPCallID, Codec: c.Codec, Started: timeOf(c.Started), Ringing: timeOf(c.Ringing),
		Answered: timeOf(c.Answered), Currency: c.Currency, Price: c.Rate.Price, Prefix: c.RatePrefix, Area: c.Area, Held: c.Hold,
		Granted: client.Seconds(c.Granted), Packages: showPrepaid(c.Prepaid), Last: c.LastGrant, Silent: c.Flags&fsm.FlagSilent != 0, Owners: showOwners(c.Owners),
	}
	if c.Answered != 0 {
		talk := max(at.Sub(c.Answered), 0)
		out.Duration, out.Cost = client.Seconds(talk), min(c.Cover().Cost(talk), c.Hold)
	}
	return out
}

func showOwners(list []fsm.Owner) []client.Owner {
	out := make([]client.Owner, 0, len(list))
	for _, o := range list {
		out = append(out, client.Owner{Node: string(o.Node), Epoch: uint64(o.Epoch), Since: timeOf(o.Since)})
	}
	return out
}
