package client

import "context"

// Node is a member as the state machine knows it: what it owns, and whether it is
// to run empty.
type Node struct {
	Node        string           `json:"node"`
	Up          bool             `json:"up" doc:"Has not been declared dead: may own calls"`
	Since       Time             `json:"since,omitzero" doc:"Of up"`
	Witness     bool             `json:"witness,omitempty" doc:"Votes and stores, takes no calls"`
	Incarnation uint64           `json:"incarnation" doc:"Counts its lives"`
	Version     string           `json:"version,omitempty"`
	Level       uint16           `json:"level" doc:"Newest feature level that it can apply"`
	Calls       int              `json:"calls" doc:"That it owns"`
	Addresses   []ServiceAddress `json:"addresses" nullable:"false" doc:"That it owns"`
	Draining    bool             `json:"draining" doc:"Gets nothing new and gives away what it has"`
	DrainBy     string           `json:"drain_by,omitempty" doc:"Name of the token that asked for it"`
	DrainReason string           `json:"drain_reason,omitempty"`
	Drained     bool             `json:"drained" doc:"Draining, and owns nothing any more that another node could have"`
}

// ServiceAddress is an address that Contacts and SDP carry, and that moves to
// another node when its owner dies.
type ServiceAddress struct {
	IP     string `json:"ip"`
	Public string `json:"public,omitempty" doc:"What Contacts and SDP carry instead"`
	Move   string `json:"move" enum:"bind,netlink,hook,reinvite" doc:"How it comes to another node"`
	Home   string `json:"home,omitempty" doc:"Node that has it configured"`
	Owner  string `json:"owner,omitempty" doc:"Node that serves it; none: nobody"`
	Epoch  uint64 `json:"epoch" doc:"Counts its owners"`
	Since  Time   `json:"since,omitzero" doc:"Of this owner"`
}

// DrainRequest says why a node is to run empty.
type DrainRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Shown to other operators"`
}

// Nodes returns all members in order of their names.
func (c *Client) Nodes(ctx context.Context) (List[Node], error) {
	return fetch[Node](ctx, c, "/nodes", Page{}.values())
}

// Node returns one member.
func (c *Client) Node(ctx context.Context, name string) (n Node, r Receipt, err error) {
	r, err = c.get(ctx, path("nodes", name), nil, &n)
	return n, r, err
}

// ServiceAddresses returns all service addresses of the cluster and who owns
// them.
func (c *Client) ServiceAddresses(ctx context.Context) (List[ServiceAddress], error) {
	return fetch[ServiceAddress](ctx, c, "/addresses", Page{}.values())
}

// Drain lets a node run empty: it refuses new calls and gives its calls and
// addresses to others. That takes a while after the answer.
func (c *Client) Drain(ctx context.Context, name string, d DrainRequest) (n Node, r Receipt, err error) {
	r, err = c.post(ctx, path("nodes", name, "drain"), NewKey(), d, &n)
	return n, r, err
}

// Undrain lets a node take calls again.
func (c *Client) Undrain(ctx context.Context, name string) (n Node, r Receipt, err error) {
	r, err = c.post(ctx, path("nodes", name, "undrain"), NewKey(), nil, &n)
	return n, r, err
}

// RemoveNode takes a node that is down and owns nothing out of the cluster for
// good. Fewer than three voters are left only with force.
func (c *Client) RemoveNode(ctx context.Context, name string, force bool) (d Done, r Receipt, err error) {
	q := Page{}.values()
	if force {
		q.set("force", "true")
	}
	r, err = c.remove(ctx, path("nodes", name), q.Values, &d)
	return d, r, err
}

// TransferLeadership lets another voter lead.
func (c *Client) TransferLeadership(ctx context.Context) (s Status, r Receipt, err error) {
	r, err = c.post(ctx, "/raft/transfer", "", nil, &s)
	return s, r, err
}

// RaiseLevel puts a feature level in force. It cannot fall again.
func (c *Client) RaiseLevel(ctx context.Context, level uint16) (d Done, r Receipt, err error) {
	r, err = c.put(ctx, "/level", LevelSetting{Level: level}, &d)
	return d, r, err
}

// LevelSetting is the feature level in force.
type LevelSetting struct {
	Level uint16 `json:"level" minimum:"1"`
}
