package client

import (
	"context"
	"net/http"
	"net/url"

	"tandem/billing"
)

// Call is a live call.
type Call struct {
	ID        string         `json:"id"`
	State     string         `json:"state" enum:"starting,ringing,answered"`
	Node      string         `json:"node" doc:"Owner"`
	Epoch     uint64         `json:"epoch" doc:"Counts its owners"`
	Account   string         `json:"account"`
	Ingress   string         `json:"ingress" doc:"Mapping gateway"`
	Egress    string         `json:"egress,omitempty" doc:"Routing gateway that rings or answered"`
	Caller    string         `json:"caller" doc:"Normalised"`
	Callee    string         `json:"callee" doc:"Normalised"`
	RawCaller string         `json:"raw_caller,omitempty" doc:"As received"`
	RawCallee string         `json:"raw_callee,omitempty" doc:"As received"`
	Source    string         `json:"source" doc:"Where the INVITE came from"`
	SIPCallID string         `json:"sip_call_id,omitempty"`
	Codec     string         `json:"codec,omitempty"`
	Started   Time           `json:"started"`
	Ringing   Time           `json:"ringing,omitzero"`
	Answered  Time           `json:"answered,omitzero"`
	Duration  Seconds        `json:"duration" doc:"Since the answer"`
	Currency  string         `json:"currency"`
	Price     billing.Price  `json:"price" doc:"Per minute"`
	Prefix    string         `json:"prefix,omitempty" doc:"Of the rate"`
	Area      string         `json:"area,omitempty"`
	Cost      billing.Amount `json:"cost" doc:"So far"`
	Held      billing.Amount `json:"held"`
	Granted   Seconds        `json:"granted" doc:"Talk time that is paid for"`
	Packages  []PackageUse   `json:"packages,omitempty" nullable:"false" doc:"Talk of packages that it holds: the beginning of what is granted"`
	Last      bool           `json:"last,omitempty" doc:"The held money was the account's last"`
	Silent    bool           `json:"silent,omitempty" doc:"No RTP arrives"`
	Owners    []Owner        `json:"owners,omitempty" nullable:"false"`
}

// Owner is one line of a call's owner history.
type Owner struct {
	Node  string `json:"node"`
	Epoch uint64 `json:"epoch"`
	Since Time   `json:"since"`
}

// CallQuery selects live calls.
type CallQuery struct {
	Page
	Account string
	Gateway string // ingress or egress
	Node    string // owner
	Number  string // normalised caller or callee
	State   string // starting, ringing, answered
}

// At returns the query at another cursor.
func (q CallQuery) At(cursor string) CallQuery {
	q.Cursor = cursor
	return q
}

// Ended is the answer to the ending of a call.
type Ended struct {
	Call  string         `json:"call"`
	CDR   uint64         `json:"cdr" doc:"Sequence of its record; 0: none was written"`
	Fee   billing.Amount `json:"fee"`
	Index uint64         `json:"index"`
	At    Time           `json:"at"`
}

// Attempt is one try of one candidate.
type Attempt struct {
	Gateway string  `json:"gateway"`
	Address string  `json:"address,omitempty"`
	Caller  string  `json:"caller,omitempty" doc:"As sent"`
	Callee  string  `json:"callee,omitempty" doc:"As sent"`
	Start   Seconds `json:"start" doc:"After the call's start"`
	PDD     Seconds `json:"pdd,omitzero" doc:"To the first ringing"`
	Status  uint16  `json:"status,omitempty" doc:"Final SIP status"`
	Q850    uint8   `json:"q850,omitempty" doc:"Cause"`
	Skipped string  `json:"skipped,omitempty" doc:"Why it was not tried"`
	CallID  string  `json:"call_id,omitempty" doc:"SIP Call-ID"`
}

// Media are the figures of one direction of RTP.
type Media struct {
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes"`
	Lost    uint64  `json:"lost"`
	Jitter  Seconds `json:"jitter"`
}

// CallRate is what a call was priced by.
type CallRate struct {
	Table      string         `json:"table,omitempty"`
	Version    uint64         `json:"version,omitempty"`
	Prefix     string         `json:"prefix"`
	Area       string         `json:"area,omitempty"`
	Price      billing.Price  `json:"price" doc:"Per minute"`
	ConnectFee billing.Amount `json:"connect_fee,omitzero"`
	First      Seconds        `json:"first"`
	Next       Seconds        `json:"next"`
	Minimum    Seconds        `json:"minimum,omitzero"`
	Free       Seconds        `json:"free,omitzero"`
	Unrounded  string         `json:"unrounded,omitempty" doc:"The fee before rounding"`
}

// CDR is the record of one call or refused attempt.
type CDR struct {
	Seq          uint64         `json:"seq" doc:"Dense over the cluster"`
	Index        uint64         `json:"index" doc:"Log index that wrote it"`
	Call         string         `json:"call,omitempty"`
	Amends       uint64         `json:"amends,omitempty" doc:"Sequence of the record that this one corrects"`
	Mode         string         `json:"mode" enum:"none,phone,mapping,illegal" doc:"What it was billed on"`
	Account      string         `json:"account,omitempty"`
	Vendor       string         `json:"vendor,omitempty"`
	Ingress      string         `json:"ingress,omitempty"`
	Egress       string         `json:"egress,omitempty"`
	Source       string         `json:"source,omitempty" doc:"Where the INVITE came from"`
	EgressAddr   string         `json:"egress_addr,omitempty" doc:"Where it was sent"`
	CallerMedia  string         `json:"caller_media,omitempty" doc:"As signalled"`
	CalleeMedia  string         `json:"callee_media,omitempty" doc:"As signalled"`
	SIPCallIDA   string         `json:"sip_call_id_a,omitempty"`
	SIPCallIDB   string         `json:"sip_call_id_b,omitempty"`
	RawCaller    string         `json:"raw_caller,omitempty" doc:"As received"`
	RawCallee    string         `json:"raw_callee,omitempty" doc:"As received"`
	Caller       string         `json:"caller,omitempty" doc:"Normalised"`
	Callee       string         `json:"callee,omitempty" doc:"Normalised"`
	SentCaller   string         `json:"sent_caller,omitempty"`
	SentCallee   string         `json:"sent_callee,omitempty"`
	Started      Time           `json:"started"`
	Ringing      Time           `json:"ringing,omitzero"`
	Answered     Time           `json:"answered,omitzero"`
	Ended        Time           `json:"ended"`
	PDD          Seconds        `json:"pdd,omitzero"`
	Duration     Seconds        `json:"duration" doc:"Answer to end"`
	Billed       Seconds        `json:"billed"`
	EndedBy      string         `json:"ended_by,omitempty" enum:"caller,callee,server"`
	Reason       string         `json:"reason" example:"normal"`
	SIPStatus    uint16         `json:"sip_status,omitempty"`
	Q850         uint8          `json:"q850,omitempty"`
	Codec        string         `json:"codec,omitempty"`
	MediaA       Media          `json:"media_a" doc:"Received from the caller's side"`
	MediaB       Media          `json:"media_b" doc:"Received from the callee's side"`
	Rate         *CallRate      `json:"rate,omitempty"`
	CostRate     *CallRate      `json:"cost_rate,omitempty"`
	Currency     string         `json:"currency,omitempty"`
	CostCurrency string         `json:"cost_currency,omitempty"`
	Packages     []PackageUse   `json:"packages,omitempty" nullable:"false" doc:"Talk that packages paid for; the fee is for the rest"`
	Fee          billing.Amount `json:"fee"`
	Cost         billing.Amount `json:"cost" doc:"What the vendor is paid"`
	Held         billing.Amount `json:"held" doc:"At the end"`
	OverGrant    Seconds        `json:"over_grant,omitzero" doc:"Talk time beyond the grant, not charged"`
	Estimated    bool           `json:"estimated,omitempty" doc:"Ended without a message; charged to the last proof of life"`
	Aggregate    uint32         `json:"aggregate,omitempty" doc:"Refused attempts that this record stands for"`
	Attempts     []Attempt      `json:"attempts,omitempty" nullable:"false"`
	Owners       []Owner        `json:"owners,omitempty" nullable:"false"`
	Node         string         `json:"node,omitempty" doc:"That proposed the end"`
	Detail       string         `json:"detail,omitempty"`
	ChargeSeq    uint64         `json:"charge_seq,omitempty" doc:"Transfer of the fee"`
	CostSeq      uint64         `json:"cost_seq,omitempty" doc:"Transfer of the cost"`
}

// CDRQuery selects records, newest first.
type CDRQuery struct {
	Page
	From, To Time   // of the end: From <= ended < To; zero: open
	Account  string // client or vendor
	Number   string // normalised caller or callee
	Gateway  string // ingress or egress
	Reason   string
	Answered bool // answered calls only
}

// At returns the query at another cursor.
func (q CDRQuery) At(cursor string) CDRQuery {
	q.Cursor = cursor
	return q
}

func (q CDRQuery) values() query {
	v := q.Page.values()
	v.set("from", q.From.String())
	v.set("to", q.To.String())
	v.set("account", q.Account)
	v.set("number", q.Number)
	v.set("gateway", q.Gateway)
	v.set("reason", q.Reason)
	if q.Answered {
		v.set("answered", "true")
	}
	return v
}

// Calls returns a page of live calls.
func (c *Client) Calls(ctx context.Context, q CallQuery) (List[Call], error) {
	v := q.values()
	v.set("account", q.Account)
	v.set("gateway", q.Gateway)
	v.set("node", q.Node)
	v.set("number", q.Number)
	v.set("state", q.State)
	return fetch[Call](ctx, c, "/calls", v)
}

// Call returns a live call.
func (c *Client) Call(ctx context.Context, id string) (call Call, r Receipt, err error) {
	r, err = c.get(ctx, path("calls", id), nil, &call)
	return call, r, err
}

// EndCall ends a live call.
func (c *Client) EndCall(ctx context.Context, id string) (e Ended, err error) {
	_, err = c.remove(ctx, path("calls", id), nil, &e)
	return e, err
}

// CDRs returns a page of records, newest first.
func (c *Client) CDRs(ctx context.Context, q CDRQuery) (List[CDR], error) {
	return fetch[CDR](ctx, c, "/cdrs", q.values())
}

// CDR returns the record of a sequence.
func (c *Client) CDR(ctx context.Context, seq uint64) (cdr CDR, r Receipt, err error) {
	r, err = c.get(ctx, path("cdrs", formatUint(seq)), nil, &cdr)
	return cdr, r, err
}

// Trace returns the SIP messages of a call, by its id or the number of its CDR, in
// a form: "ladder", "text" or "pcap".
func (c *Client) Trace(ctx context.Context, id, form string) ([]byte, error) {
	accept := "text/plain"
	if form == "pcap" {
		accept = "application/vnd.tcpdump.pcap"
	}
	body, _, err := c.send(ctx, request{
		method: http.MethodGet, path: path("traces", id), query: url.Values{"form": {form}}, accept: accept,
	})
	return body, err
}
