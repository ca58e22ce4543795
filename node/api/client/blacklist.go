package client

import (
	"context"
	"net/url"
)

// The dynamic lists.
const (
	ListMalicious  = "malicious"  // caller: too many attempts in a window
	ListNoAnswer   = "no-answer"  // callee: too many unanswered calls in a row
	ListConcurrent = "concurrent" // caller: too many calls at once
)

// Block is one entry of the dynamic blacklist, with its evidence.
type Block struct {
	Number   string  `json:"number"`
	List     string  `json:"list" enum:"malicious,no-answer,concurrent"`
	Scope    string  `json:"scope,omitempty" doc:"Routing gateway; absent: everywhere"`
	Account  string  `json:"account,omitempty" doc:"Ingress account whose calls are refused; absent: all"`
	Manual   bool    `json:"manual,omitempty" doc:"Added by an operator"`
	Since    Time    `json:"since"`
	Until    Time    `json:"until,omitzero" doc:"absent: until it is deleted"`
	Limit    uint32  `json:"limit,omitempty" doc:"Evidence: count reached limit within window"`
	Count    uint32  `json:"count,omitempty"`
	Window   Seconds `json:"window,omitzero"`
	First    Time    `json:"first,omitzero" doc:"First and last event of the window"`
	LastCall Time    `json:"last_call,omitzero"`
	Node     string  `json:"node,omitempty" doc:"That saw the last call"`
	Sample   string  `json:"sample,omitempty" doc:"An example of the other party"`
	Hits     uint64  `json:"hits" doc:"Calls refused by this entry"`
	Memo     string  `json:"memo,omitempty"`
}

// BlockSettings is a manual entry.
type BlockSettings struct {
	List    string  `json:"list,omitempty" enum:"malicious,no-answer,concurrent" doc:"absent: malicious"`
	Scope   string  `json:"scope,omitempty" doc:"Routing gateway; absent: everywhere"`
	Account string  `json:"account,omitempty" doc:"Ingress account; absent: all"`
	For     Seconds `json:"for,omitzero" doc:"How long; absent: as SS_SIP_DYNAMIC_BLACKLIST_EXPIRE says"`
	Forever bool    `json:"forever,omitempty" doc:"Until it is deleted"`
	Memo    string  `json:"memo,omitempty" maxLength:"256"`
}

// BlockQuery selects entries of the dynamic blacklist.
type BlockQuery struct {
	Page
	List    string // empty: all
	Scope   string // routing gateway; empty: all
	Account string // empty: all
}

// At returns the query at another cursor.
func (q BlockQuery) At(cursor string) BlockQuery {
	q.Cursor = cursor
	return q
}

// NumberList is a named list of numbers, full match. "whitelist" stands above
// every blacklist, "emergency" skips lock, money, limits and lists.
type NumberList struct {
	Name string `json:"name"`
	NumberListSettings
}

// NumberListSettings is the content of a number list. A PUT replaces it.
type NumberListSettings struct {
	Numbers []string `json:"numbers" nullable:"false" maxItems:"24576"`
	Memo    string   `json:"memo,omitempty" maxLength:"256"`
}

// NumberListInfo is a number list without its numbers.
type NumberListInfo struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	Memo  string `json:"memo,omitempty"`
}

// NumberListQuery selects number lists.
type NumberListQuery struct{ Page }

// At returns the query at another cursor.
func (q NumberListQuery) At(cursor string) NumberListQuery {
	q.Cursor = cursor
	return q
}

// Blocks returns a page of the dynamic blacklist.
func (c *Client) Blocks(ctx context.Context, q BlockQuery) (List[Block], error) {
	v := q.values()
	v.set("list", q.List)
	v.set("scope", q.Scope)
	v.set("account", q.Account)
	return fetch[Block](ctx, c, "/blacklist", v)
}

// WhyBlocked returns the entries of a number with their evidence.
func (c *Client) WhyBlocked(ctx context.Context, number string) (List[Block], error) {
	return fetch[Block](ctx, c, path("blacklist", number), query{url.Values{}})
}

// PutBlock blocks a number, or changes its entry on the list.
func (c *Client) PutBlock(ctx context.Context, number string, s BlockSettings) (b Block, r Receipt, err error) {
	r, err = c.put(ctx, path("blacklist", number), s, &b)
	return b, r, err
}

// DeleteBlock removes the entries of a number: those of one list and scope, or
// with an empty list all of them.
func (c *Client) DeleteBlock(ctx context.Context, number, list, scope string) (d Done, err error) {
	q := query{url.Values{}}
	q.set("list", list)
	q.set("scope", scope)
	_, err = c.remove(ctx, path("blacklist", number), q.Values, &d)
	return d, err
}

// NumberLists returns a page of number lists in order of their names.
func (c *Client) NumberLists(ctx context.Context, q NumberListQuery) (List[NumberListInfo], error) {
	return fetch[NumberListInfo](ctx, c, "/number-lists", q.values())
}

// NumberList returns a number list.
func (c *Client) NumberList(ctx context.Context, name string) (l NumberList, r Receipt, err error) {
	r, err = c.get(ctx, path("number-lists", name), nil, &l)
	return l, r, err
}

// PutNumberList creates a number list, or replaces one.
func (c *Client) PutNumberList(ctx context.Context, name string, s NumberListSettings) (l NumberList, r Receipt, err error) {
	if s.Numbers == nil {
		s.Numbers = []string{}
	}
	r, err = c.put(ctx, path("number-lists", name), s, &l)
	return l, r, err
}

// DeleteNumberList removes a number list that no gateway uses.
func (c *Client) DeleteNumberList(ctx context.Context, name string) (d Done, err error) {
	_, err = c.remove(ctx, path("number-lists", name), nil, &d)
	return d, err
}
