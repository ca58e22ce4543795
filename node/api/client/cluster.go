package client

import (
	"context"
	"strconv"

	"tandem/billing"
)

// The states of a cluster's health.
const (
	Healthy  = "healthy"   // every voter is there and level
	Degraded = "degraded"  // a voter is away or behind, and work goes on
	NoQuorum = "no-quorum" // nothing can be committed
)

// Status is a one-screen summary, as the asked node sees it.
type Status struct {
	Cluster   string `json:"cluster" doc:"Identifier of the cluster"`
	Node      string `json:"node" doc:"That answered"`
	Version   string `json:"version" doc:"Of the answering node"`
	Health    string `json:"health" enum:"healthy,degraded,no-quorum"`
	Survives  int    `json:"survives" doc:"How many more nodes may fail"`
	Leader    string `json:"leader,omitempty"`
	Term      uint64 `json:"term"`
	Commit    uint64 `json:"commit"`
	Applied   uint64 `json:"applied"`
	At        Time   `json:"at" doc:"Log time"`
	Level     uint16 `json:"level" doc:"Feature level in force"`
	Voters    int    `json:"voters"`
	VotersUp  int    `json:"voters_up"`
	Calls     int    `json:"calls" doc:"Live calls of the whole cluster, on nodes that are up"`
	Waiting   int    `json:"waiting,omitempty" doc:"Live calls of nodes that are down, which no node could take over yet"`
	Accounts  int    `json:"accounts"`
	Gateways  int    `json:"gateways" doc:"Mapping and routing"`
	Tables    int    `json:"rate_tables"`
	Blocked   int    `json:"blocked" doc:"Entries of the dynamic blacklist"`
	CDRs      uint64 `json:"cdrs" doc:"Sequence of the last CDR"`
	Transfers uint64 `json:"transfers" doc:"Sequence of the last transfer"`
	Ready     bool   `json:"ready" doc:"The answering node takes calls"`
	NotReady  string `json:"not_ready,omitempty" doc:"Why not"`

	Down     []string         `json:"down,omitempty" nullable:"false" doc:"Nodes that have been declared dead"`
	Draining []Node           `json:"draining,omitempty" nullable:"false" doc:"Nodes that run empty"`
	Away     []ServiceAddress `json:"away,omitempty" nullable:"false" doc:"Service addresses that are not at home"`
}

// LedgerSum is the sum over all accounts of one currency.
type LedgerSum struct {
	Currency string         `json:"currency"`
	Clients  billing.Amount `json:"clients" doc:"What clients have with us"`
	Vendors  billing.Amount `json:"vendors" doc:"What we owe vendors"`
	House    billing.Amount `json:"house" doc:"Cash, revenue, cost and loss"`
	Held     billing.Amount `json:"held" doc:"Set aside for live calls"`
	Sum      billing.Amount `json:"sum" doc:"Of clients, vendors and house: zero, always"`
}

// Member is a node, as gossip and the state machine see it.
type Member struct {
	Node        string   `json:"node"`
	Address     string   `json:"address,omitempty"`
	State       string   `json:"state" enum:"alive,dead,unknown" doc:"By gossip"`
	Since       Time     `json:"since,omitzero" doc:"Of that state"`
	Role        string   `json:"role,omitempty" enum:"leader,voter,non-voter" doc:"In consensus"`
	Witness     bool     `json:"witness,omitempty" doc:"Votes and stores, takes no calls"`
	Up          bool     `json:"up" doc:"By the state machine: may own calls"`
	Incarnation uint64   `json:"incarnation,omitempty" doc:"Counts its starts"`
	Version     string   `json:"version,omitempty"`
	Level       uint16   `json:"level,omitempty" doc:"Newest feature level that it can apply"`
	Calls       int      `json:"calls" doc:"That it owns"`
	Services    []string `json:"services,omitempty" nullable:"false" doc:"Its service addresses"`
}

// Peer is a node of raft's configuration, as the asked node sees it.
type Peer struct {
	Node        string  `json:"node"`
	Address     string  `json:"address"`
	State       string  `json:"state" enum:"leader,follower,silent"`
	Voter       bool    `json:"voter"`
	LastContact Seconds `json:"last_contact" doc:"Since its last answer; negative: never"`
	Commit      uint64  `json:"commit"`
	Applied     uint64  `json:"applied"`
	LastLog     uint64  `json:"last_log"`
	Lag         uint64  `json:"lag" doc:"Entries behind the asked node's commit index"`
	Snapshot    uint64  `json:"snapshot"`
	WallOffset  Seconds `json:"wall_offset" doc:"Its wall clock minus the asked node's"`
	DiskStalled Seconds `json:"disk_stalled,omitzero" doc:"How long a write to its log hangs"`
}

// Checkpoint is the hash of the asked node's state right after an entry. Nodes
// have the same hash at the same index.
type Checkpoint struct {
	Index uint64 `json:"index"`
	Hash  string `json:"hash"`
}

// Status returns the summary.
func (c *Client) Status(ctx context.Context) (s Status, r Receipt, err error) {
	r, err = c.get(ctx, "/status", nil, &s)
	return s, r, err
}

// LedgerSums returns the sum over all accounts, by currency. It costs a look at
// every account.
func (c *Client) LedgerSums(ctx context.Context) (List[LedgerSum], error) {
	return fetch[LedgerSum](ctx, c, "/ledger", Page{}.values())
}

// Members returns all nodes in order of their names.
func (c *Client) Members(ctx context.Context) (List[Member], error) {
	return fetch[Member](ctx, c, "/members", Page{}.values())
}

// Peers returns raft's configuration.
func (c *Client) Peers(ctx context.Context) (List[Peer], error) {
	return fetch[Peer](ctx, c, "/raft/peers", Page{}.values())
}

// Checkpoints returns the asked node's state hashes, newest first.
func (c *Client) Checkpoints(ctx context.Context) (List[Checkpoint], error) {
	return fetch[Checkpoint](ctx, c, "/raft/hashes", Page{}.values())
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
