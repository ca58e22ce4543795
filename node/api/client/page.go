package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// Page says which part of a list is wanted.
type Page struct {
	Cursor string // Next of the page before; empty: the first
	Limit  int    // 1 to 1000; 0: 100
}

// List is one page of a list.
type List[T any] struct {
	Items   []T    `json:"items" nullable:"false"`
	Next    string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last"`
	Index   uint64 `json:"index" doc:"Log index that the list is as of"`
	Partial bool   `json:"partial,omitempty" doc:"The node has gaps that it is still filling, so rows may be missing"`
}

// pager is a query of a list with its page.
type pager[Q any] interface{ At(cursor string) Q }

// Each walks all pages of a list, beginning with that of the query.
func Each[T any, Q pager[Q]](ctx context.Context, q Q, list func(context.Context, Q) (List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := list(ctx, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q = q.At(page.Next)
		}
	}
}

// At returns the page at another cursor.
func (p Page) At(cursor string) Page {
	p.Cursor = cursor
	return p
}

// values starts a query with the page.
func (p Page) values() query {
	v := query{url.Values{}}
	v.set("cursor", p.Cursor)
	if p.Limit > 0 {
		v.set("limit", strconv.Itoa(p.Limit))
	}
	return v
}

// query is a query string in which empty values are left out.
type query struct{ url.Values }

func (q query) set(name, value string) {
	if value != "" {
		q.Values.Set(name, value)
	}
}

// fetch reads one page of a list.
func fetch[T any](ctx context.Context, c *Client, path string, q query) (List[T], error) {
	var out List[T]
	_, err := c.get(ctx, path, q.Values, &out)
	return out, err
}
