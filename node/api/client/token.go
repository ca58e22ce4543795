package client

import "context"

// The roles of tokens. Every role may read; operator, billing and routing each
// change their own part, admin everything.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator" // calls, blacklist, locks
	RoleBilling  = "billing"  // accounts, payments, rates
	RoleRouting  = "routing"  // gateways, number lists, vendors' rates
	RoleAdmin    = "admin"    // parameters and tokens too
)

// Token is an API token without its secret.
type Token struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Role    string `json:"role" enum:"viewer,operator,billing,routing,admin"`
	Expires Time   `json:"expires,omitzero"`
	Created Time   `json:"created,omitzero"`
	Secret  string `json:"token,omitempty" doc:"The token itself, tandem_<id>_<secret>: shown once, when it is made"`
}

// TokenSettings describes a token to be made.
type TokenSettings struct {
	Name    string  `json:"name" minLength:"1" maxLength:"64" doc:"For the ledger and for people"`
	Role    string  `json:"role" enum:"viewer,operator,billing,routing,admin"`
	Expires Seconds `json:"expires,omitzero" doc:"Life from now; absent: for ever"`
}

// TokenQuery selects tokens.
type TokenQuery struct{ Page }

// At returns the query at another cursor.
func (q TokenQuery) At(cursor string) TokenQuery {
	q.Cursor = cursor
	return q
}

// Tokens returns a page of tokens in order of their ids.
func (c *Client) Tokens(ctx context.Context, q TokenQuery) (List[Token], error) {
	return fetch[Token](ctx, c, "/tokens", q.values())
}

// CreateToken makes a token. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, s TokenSettings) (t Token, r Receipt, err error) {
	r, err = c.post(ctx, "/tokens", "", s, &t)
	return t, r, err
}

// RevokeToken removes a token.
func (c *Client) RevokeToken(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("tokens", id), nil, &d)
	return d, err
}
