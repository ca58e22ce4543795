package client

import (
	"context"

	"tandem/billing"
)

// PackageSettings is what an operator decides about a package: talk that accounts
// buy ahead. A PUT replaces all of it; what was bought stays as it was bought.
type PackageSettings struct {
	Name     string         `json:"name,omitempty" maxLength:"64"`
	Currency string         `json:"currency" pattern:"^[A-Z]{3}$" doc:"ISO 4217; accounts in another one cannot buy it" example:"USD"`
	Price    billing.Amount `json:"price,omitzero" doc:"Of one purchase; none: a gift" example:"9.90"`
	Time     Seconds        `json:"time" doc:"Talk of one purchase, whole seconds" example:"6000"`
	Prefixes []string       `json:"prefixes,omitempty" nullable:"false" doc:"Of the callees that it is for; none: all"`
	Validity Seconds        `json:"validity,omitzero" doc:"Time from the purchase in which it has to be used; 0: no end"`
	Priority int32          `json:"priority,omitempty" doc:"Smaller is used first; then what ends first, then what was bought first"`
}

// Package is a product.
type Package struct {
	ID string `json:"id"`
	PackageSettings
	Created Time `json:"created,omitzero"`
}

// PackageQuery selects packages.
type PackageQuery struct{ Page }

// At returns the query at another cursor.
func (q PackageQuery) At(cursor string) PackageQuery {
	q.Cursor = cursor
	return q
}

// Buy asks for a package.
type Buy struct {
	Package string `json:"package" minLength:"1" maxLength:"64"`
	Memo    string `json:"memo,omitempty" maxLength:"256"`
}

// Bought is the answer to a purchase: the first one, however often it is asked.
type Bought struct {
	Account  string `json:"account"`
	Package  string `json:"package"`
	Purchase uint64 `json:"purchase" doc:"Number of the purchase, and sequence of the transfer that issued its seconds"`
	Index    uint64 `json:"index" doc:"Log index at which it was bought"`
	At       Time   `json:"at"`
}

// Purchase is what an account has of a package that it bought.
type Purchase struct {
	ID        uint64   `json:"id"`
	Package   string   `json:"package"`
	Left      Seconds  `json:"left" doc:"What is not used yet"`
	Held      Seconds  `json:"held" doc:"Of it, what live calls have set aside"`
	Prefixes  []string `json:"prefixes,omitempty" nullable:"false"`
	Priority  int32    `json:"priority,omitempty"`
	BoughtAt  Time     `json:"bought_at"`
	ValidTill Time     `json:"valid_till,omitzero"`
}

// PackageUse is talk of a package that a call holds or has taken.
type PackageUse struct {
	Package  string  `json:"package"`
	Purchase uint64  `json:"purchase"`
	Time     Seconds `json:"time"`
}

// Packages returns a page of packages in order of their ids.
func (c *Client) Packages(ctx context.Context, q PackageQuery) (List[Package], error) {
	return fetch[Package](ctx, c, "/packages", q.values())
}

// Package returns one package.
func (c *Client) Package(ctx context.Context, id string) (p Package, r Receipt, err error) {
	r, err = c.get(ctx, path("packages", id), nil, &p)
	return p, r, err
}

// PutPackage creates a package, or replaces the settings of one.
func (c *Client) PutPackage(ctx context.Context, id string, s PackageSettings) (p Package, r Receipt, err error) {
	r, err = c.put(ctx, path("packages", id), s, &p)
	return p, r, err
}

// DeletePackage removes a package. What accounts have bought stays.
func (c *Client) DeletePackage(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("packages", id), nil, &d)
	return d, err
}

// BuyPackage buys a package for an account. The same key never buys twice; an
// empty one is replaced by a fresh one.
func (c *Client) BuyPackage(ctx context.Context, account string, b Buy, key string) (out Bought, err error) {
	if key == "" {
		key = NewKey()
	}
	_, err = c.post(ctx, path("accounts", account, "packages"), key, b, &out)
	return out, err
}

// Purchases returns what an account has bought, in the order in which its calls
// use it.
func (c *Client) Purchases(ctx context.Context, account string) (List[Purchase], error) {
	return fetch[Purchase](ctx, c, path("accounts", account, "packages"), query{})
}
