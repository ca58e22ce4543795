package client

import "context"

// PhoneSettings is what an operator decides about a phone. A PUT replaces all of it,
// but for the password.
type PhoneSettings struct {
	Account     string      `json:"account" doc:"The client that pays for its calls"`
	User        string      `json:"user,omitempty" doc:"Whom it authenticates as; absent: its number"`
	Password    string      `json:"password,omitempty" writeOnly:"true" maxLength:"128" doc:"Only its digests are kept, for the realm SIP_REALM; absent: as before"`
	LockIn      bool        `json:"lock_in,omitempty" doc:"It cannot be called"`
	LockOut     bool        `json:"lock_out,omitempty" doc:"It cannot call"`
	MaxIn       uint32      `json:"max_in,omitempty" doc:"Most calls to it at once; 0: no limit"`
	MaxOut      uint32      `json:"max_out,omitempty" doc:"Most calls from it at once; 0: no limit"`
	MaxCalls    uint32      `json:"max_calls,omitempty" doc:"Most calls of both kinds; 0: no limit"`
	MaxContacts uint8       `json:"max_contacts,omitempty" maximum:"32" doc:"Most registered contacts; 0: 10"`
	RateTable   string      `json:"rate_table,omitempty" doc:"Overrides the account's"`
	Routes      []string    `json:"routes,omitempty" nullable:"false" doc:"Routing gateways that it may use; none: all"`
	DenyRoutes  bool        `json:"deny_routes,omitempty" doc:"Routes names those that it may not use"`
	Rules       NumberRules `json:"rules,omitzero"`
	Media       string      `json:"media,omitempty" enum:"auto,on,off,must-on" doc:"Whether RTP passes through us; absent: auto"`
	Source      string      `json:"source,omitempty" enum:"auto,strict,any" doc:"Which senders of RTP are believed; absent: auto"`
	NAT         bool        `json:"nat,omitempty" doc:"In-dialog requests go to the source of its messages"`
	Profile     Profile     `json:"profile,omitzero"`
}

// Phone is an endpoint that registers.
type Phone struct {
	Number string `json:"number"`
	PhoneSettings
	HasPassword bool      `json:"has_password" doc:"For the realm that is in force"`
	LiveIn      uint32    `json:"live_in" doc:"Calls to it at this moment"`
	LiveOut     uint32    `json:"live_out" doc:"Calls from it at this moment"`
	CallsTotal  uint64    `json:"calls_total" doc:"From it"`
	Contacts    []Contact `json:"contacts,omitempty" nullable:"false" doc:"Where it has registered"`
}

// Contact is a contact that a phone has registered.
type Contact struct {
	ID        string  `json:"id"`
	URI       string  `json:"uri"`
	Line      string  `json:"line" doc:"Service address that it registered at"`
	Via       string  `json:"via"`
	Source    string  `json:"source" doc:"Where its REGISTER came from"`
	Q         float64 `json:"q"`
	UserAgent string  `json:"user_agent,omitempty"`
	Since     Time    `json:"since"`
	Expires   Time    `json:"expires"`
	Reachable bool    `json:"reachable" doc:"A node can use its flow"`
}

// Phones returns a page of phones in order of their numbers.
func (c *Client) Phones(ctx context.Context, q GatewayQuery) (List[Phone], error) {
	return fetch[Phone](ctx, c, "/phones", q.values())
}

// Phone returns a phone with its contacts.
func (c *Client) Phone(ctx context.Context, number string) (p Phone, r Receipt, err error) {
	r, err = c.get(ctx, path("phones", number), nil, &p)
	return p, r, err
}

// PutPhone creates a phone or replaces its settings.
func (c *Client) PutPhone(ctx context.Context, number string, s PhoneSettings) (p Phone, r Receipt, err error) {
	r, err = c.put(ctx, path("phones", number), s, &p)
	return p, r, err
}

// DeletePhone removes a phone with its contacts.
func (c *Client) DeletePhone(ctx context.Context, number string) (d Done, err error) {
	_, err = c.remove(ctx, path("phones", number), nil, &d)
	return d, err
}

// DropContacts removes the contacts of a phone, so that it has to register anew.
func (c *Client) DropContacts(ctx context.Context, number string) (d Done, err error) {
	_, err = c.remove(ctx, path("phones", number, "contacts"), nil, &d)
	return d, err
}
