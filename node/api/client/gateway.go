package client

import (
	"context"

	"tandem/billing"
)

// Transform is one rule of a dial plan.
type Transform struct {
	From string `json:"from" doc:"What the number begins with"`
	To   string `json:"to" doc:"What replaces it"`
}

// NumberRules say which numbers a gateway passes and how it rewrites them.
type NumberRules struct {
	AllowCaller []string    `json:"allow_caller,omitempty" nullable:"false" doc:"Prefixes; none: all"`
	DenyCaller  []string    `json:"deny_caller,omitempty" nullable:"false"`
	AllowCallee []string    `json:"allow_callee,omitempty" nullable:"false" doc:"Prefixes; none: all"`
	DenyCallee  []string    `json:"deny_callee,omitempty" nullable:"false"`
	CallerPlan  []Transform `json:"caller_plan,omitempty" nullable:"false"`
	CalleePlan  []Transform `json:"callee_plan,omitempty" nullable:"false"`
	CallerWhite string      `json:"caller_white,omitempty" doc:"Name of a number list: these callers only"`
	CallerBlack string      `json:"caller_black,omitempty" doc:"Name of a number list: not these callers"`
	CalleeWhite string      `json:"callee_white,omitempty" doc:"Name of a number list: these callees only"`
	CalleeBlack string      `json:"callee_black,omitempty" doc:"Name of a number list: not these callees"`
	Lengths     string      `json:"lengths,omitempty" doc:"Allowed lengths of the callee" example:"3-15,17"`
}

// MappingSettings is what an operator decides about an ingress. A PUT replaces
// all of it.
type MappingSettings struct {
	Account    string      `json:"account" doc:"The client that pays for its calls"`
	Addrs      []string    `json:"addrs" nullable:"false" minItems:"1" maxItems:"32" doc:"Networks that its signalling comes from" example:"[\"192.0.2.10\"]"`
	Port       uint16      `json:"port,omitempty" doc:"Its signalling port; 0: any"`
	TechPrefix string      `json:"tech_prefix,omitempty" doc:"Stripped from the callee; tells gateways on one address apart"`
	Disabled   bool        `json:"disabled,omitempty"`
	MaxCalls   uint32      `json:"max_calls,omitempty" doc:"Most calls at once; 0: no limit"`
	MaxCPS     uint32      `json:"max_cps,omitempty" doc:"Most new calls in a second on one node; 0: 200"`
	RateTable  string      `json:"rate_table,omitempty" doc:"Overrides the account's"`
	Routes     []string    `json:"routes,omitempty" nullable:"false" doc:"Routing gateways that it may use; none: all"`
	DenyRoutes bool        `json:"deny_routes,omitempty" doc:"Routes names those that it may not use"`
	Rules      NumberRules `json:"rules,omitzero"`
	Media      string      `json:"media,omitempty" enum:"auto,on,off,must-on" doc:"Whether RTP passes through us; absent: auto"`
	Source     string      `json:"source,omitempty" enum:"auto,strict,any" doc:"Which senders of RTP are believed; absent: auto"`
	NAT        bool        `json:"nat,omitempty" doc:"In-dialog requests go to the source of the INVITE"`
	Profile    Profile     `json:"profile,omitzero"`
}

// MappingGateway is an ingress: who pays us.
type MappingGateway struct {
	ID string `json:"id"`
	MappingSettings
	Live       uint32 `json:"live" doc:"Calls at this moment"`
	CallsTotal uint64 `json:"calls_total"`
}

// RoutingSettings is what an operator decides about an egress. A PUT replaces
// all of it.
type RoutingSettings struct {
	Account     string        `json:"account" doc:"The vendor that is paid for its calls"`
	Prefixes    []string      `json:"prefixes,omitempty" nullable:"false" maxItems:"4096" doc:"Callees that it takes; an empty prefix is every callee"`
	Mode        string        `json:"mode,omitempty" enum:"continue,terminate" doc:"Whether shorter prefixes are tried when this one cannot deliver; absent: continue"`
	Priority    int32         `json:"priority,omitempty" doc:"Smaller is tried first"`
	Addrs       []string      `json:"addrs,omitempty" nullable:"false" maxItems:"32" doc:"IP addresses with port, tried in order" example:"[\"203.0.113.9:5060\"]"`
	Host        string        `json:"host,omitempty" doc:"Name that nodes resolve, when there are no addresses"`
	Via         string        `json:"via,omitempty" enum:"udp,tcp,tls" doc:"absent: udp"`
	Disabled    bool          `json:"disabled,omitempty"`
	MaxCalls    uint32        `json:"max_calls,omitempty" doc:"Most calls at once; 0: no limit"`
	MaxCPS      uint32        `json:"max_cps,omitempty" doc:"Most new calls in a period; 0: no limit"`
	CPSPeriod   Seconds       `json:"cps_period,omitzero" doc:"Period of max_cps; 0: a second"`
	MaxDuration Seconds       `json:"max_duration,omitzero" doc:"Longest call; 0: that of the system"`
	Ring        Seconds       `json:"ring,omitzero" doc:"Longest ringing; 0: that of the system"`
	FirstTry    Seconds       `json:"first_try,omitzero" doc:"Longest wait for a first provisional response; 0: that of the system"`
	Rules       NumberRules   `json:"rules,omitzero"`
	Standalone  bool          `json:"standalone,omitempty" doc:"Has a dynamic blacklist of its own"`
	CheckRate   bool          `json:"check_rate,omitempty" doc:"Skipped for numbers without a clearing rate"`
	MinProfit   billing.Price `json:"min_profit,omitzero" doc:"Skipped below this margin per minute, which may be negative"`
	MaxRate     billing.Price `json:"max_rate,omitzero" doc:"Skipped above this clearing rate"`
	Source      string        `json:"source,omitempty" enum:"auto,strict,any" doc:"Which senders of RTP are believed; absent: auto"`
	NAT         bool          `json:"nat,omitempty" doc:"In-dialog requests go to the source of its responses"`
	Media       string        `json:"media,omitempty" enum:"auto,on,off,must-on" doc:"Whether RTP passes through us; absent: auto"`
	Check       string        `json:"check,omitempty" doc:"Where OPTIONS go instead of its addresses"`
	NoCheck     bool          `json:"no_check,omitempty" doc:"It is never checked by OPTIONS"`
	Profile     Profile       `json:"profile,omitzero"`
}

// RoutingGateway is an egress: who we pay.
type RoutingGateway struct {
	ID string `json:"id"`
	RoutingSettings
	Live       uint32 `json:"live" doc:"Calls at this moment"`
	CallsTotal uint64 `json:"calls_total"`
	OutUntil   Time   `json:"out_until,omitzero" doc:"Out of plans until then, as it asked"`
	OutReason  string `json:"out_reason,omitempty"`
}

// GatewayQuery selects gateways.
type GatewayQuery struct {
	Page
	Account string // of the gateway; empty: all
}

// At returns the query at another cursor.
func (q GatewayQuery) At(cursor string) GatewayQuery {
	q.Cursor = cursor
	return q
}

func (q GatewayQuery) values() query {
	v := q.Page.values()
	v.set("account", q.Account)
	return v
}

// MappingGateways returns a page of ingress gateways in order of their ids.
func (c *Client) MappingGateways(ctx context.Context, q GatewayQuery) (List[MappingGateway], error) {
	return fetch[MappingGateway](ctx, c, "/gateways/mapping", q.values())
}

// MappingGateway returns one ingress.
func (c *Client) MappingGateway(ctx context.Context, id string) (g MappingGateway, r Receipt, err error) {
	r, err = c.get(ctx, path("gateways", "mapping", id), nil, &g)
	return g, r, err
}

// PutMappingGateway creates an ingress, or replaces the settings of one.
func (c *Client) PutMappingGateway(ctx context.Context, id string, s MappingSettings) (g MappingGateway, r Receipt, err error) {
	r, err = c.put(ctx, path("gateways", "mapping", id), s, &g)
	return g, r, err
}

// DeleteMappingGateway removes an ingress. Its live calls go on.
func (c *Client) DeleteMappingGateway(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("gateways", "mapping", id), nil, &d)
	return d, err
}

// RoutingGateways returns a page of egress gateways in order of their ids.
func (c *Client) RoutingGateways(ctx context.Context, q GatewayQuery) (List[RoutingGateway], error) {
	return fetch[RoutingGateway](ctx, c, "/gateways/routing", q.values())
}

// RoutingGateway returns one egress.
func (c *Client) RoutingGateway(ctx context.Context, id string) (g RoutingGateway, r Receipt, err error) {
	r, err = c.get(ctx, path("gateways", "routing", id), nil, &g)
	return g, r, err
}

// PutRoutingGateway creates an egress, or replaces the settings of one.
func (c *Client) PutRoutingGateway(ctx context.Context, id string, s RoutingSettings) (g RoutingGateway, r Receipt, err error) {
	r, err = c.put(ctx, path("gateways", "routing", id), s, &g)
	return g, r, err
}

// DeleteRoutingGateway removes an egress. Its live calls go on.
func (c *Client) DeleteRoutingGateway(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("gateways", "routing", id), nil, &d)
	return d, err
}
