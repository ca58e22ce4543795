package client

import (
	"context"

	"tandem/billing"
)

// SimulateRequest describes a call that is not made. Ingress, source address or
// account say whose call it is; the first that is given counts.
type SimulateRequest struct {
	Callee  string `json:"callee" minLength:"1" maxLength:"256" doc:"As the caller would dial it"`
	Caller  string `json:"caller,omitempty" maxLength:"256"`
	Ingress string `json:"ingress,omitempty" doc:"Mapping gateway"`
	Source  string `json:"source,omitempty" doc:"Address that the INVITE would come from" example:"192.0.2.10:5060"`
	Account string `json:"account,omitempty" doc:"The first mapping gateway of this account"`
}

// Simulation is what the state machine would decide about a call.
type Simulation struct {
	Code       string         `json:"code" doc:"ok, or why the call would be refused" example:"ok"`
	Detail     string         `json:"detail,omitempty"`
	SIPStatus  uint16         `json:"sip_status,omitempty" doc:"What the caller would get"`
	Ingress    string         `json:"ingress,omitempty"`
	Account    string         `json:"account,omitempty"`
	Caller     string         `json:"caller,omitempty" doc:"Normalised"`
	Callee     string         `json:"callee,omitempty" doc:"Normalised"`
	Currency   string         `json:"currency,omitempty"`
	Rate       *CallRate      `json:"rate,omitempty" doc:"What the client would pay"`
	Available  billing.Amount `json:"available"`
	Affords    Seconds        `json:"affords" doc:"Talk time that the available money pays for"`
	Slice      Seconds        `json:"slice" doc:"Talk time that would be held first"`
	Prepaid    Seconds        `json:"prepaid,omitzero" doc:"The beginning of it, paid by packages"`
	Candidates []Candidate    `json:"candidates" nullable:"false" doc:"In the order in which they would be tried"`
	Skipped    []Skipped      `json:"skipped" nullable:"false"`
}

// Candidate is a routing gateway that would be tried.
type Candidate struct {
	Gateway  string        `json:"gateway"`
	Vendor   string        `json:"vendor"`
	Prefix   string        `json:"prefix" doc:"By which it was found"`
	Priority int32         `json:"priority"`
	Caller   string        `json:"caller" doc:"As it would be sent"`
	Callee   string        `json:"callee" doc:"As it would be sent"`
	Addrs    []string      `json:"addrs,omitempty" nullable:"false"`
	Host     string        `json:"host,omitempty"`
	Cost     billing.Price `json:"cost" doc:"Per minute"`
	Live     uint32        `json:"live"`
	MaxCalls uint32        `json:"max_calls,omitempty"`
}

// Skipped is a routing gateway that would not be tried.
type Skipped struct {
	Gateway string `json:"gateway"`
	Reason  string `json:"reason"`
}

// Simulate returns what would become of a call.
func (c *Client) Simulate(ctx context.Context, s SimulateRequest) (out Simulation, r Receipt, err error) {
	r, err = c.post(ctx, "/routes/simulate", "", s, &out)
	return out, r, err
}
