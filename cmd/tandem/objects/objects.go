// Package objects reads a file of business objects (accounts, gateways, rate
// tables, packages, number lists, parameters, payments) and brings a cluster to what it
// says.
//
// It never deletes: what the file does not name stays as it is. Applying a file
// twice changes nothing the second time, payments included, since each of them
// has a key. The keys of the file are the API's field names.
//
//	doc, err := objects.Load("objects.toml")
//	err = doc.Apply(ctx, client, objects.Options{Report: func(s objects.Step) { ... }})
package objects

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"

	"tandem/billing"
	"tandem/node/api/client"
	"tandem/node/config"
)

// Document is the content of a file, in the order in which it is applied.
type Document struct {
	Parameters      []Parameter      `json:"parameter"`
	NumberLists     []NumberList     `json:"number_list"`
	RateTables      []RateTable      `json:"rate_table"`
	Accounts        []Account        `json:"account"`
	MappingGateways []MappingGateway `json:"mapping_gateway"`
	RoutingGateways []RoutingGateway `json:"routing_gateway"`
	Packages        []Package        `json:"package"`
	TopUps          []TopUp          `json:"topup"`
}

// Parameter is a system parameter's value.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// NumberList is a named list of numbers.
type NumberList struct {
	Name string `json:"name"`
	client.NumberListSettings
}

// RateTable is a price list. Its rates are those of the file, whose name is
// relative to the document; without one the table keeps the rates that it has.
type RateTable struct {
	ID string `json:"id"`
	client.RateTableSettings
	RatesFile string `json:"rates_file"`
	Rates     []byte `json:"-"` // content of RatesFile
}

// Account is a customer's or vendor's account.
type Account struct {
	ID string `json:"id"`
	client.AccountSettings
}

// MappingGateway is an ingress.
type MappingGateway struct {
	ID string `json:"id"`
	client.MappingSettings
}

// RoutingGateway is an egress.
type RoutingGateway struct {
	ID string `json:"id"`
	client.RoutingSettings
}

// Package is talk to be bought ahead.
type Package struct {
	ID string `json:"id"`
	client.PackageSettings
}

// TopUp is a payment. The account gets it once for each key.
type TopUp struct {
	Account string         `json:"account"`
	Amount  billing.Amount `json:"amount"`
	Key     string         `json:"key"`
	Memo    string         `json:"memo"`
}

// Load reads a document and the rates files that it names. Errors about the
// document are [*config.Error] and show the line.
func Load(path string) (Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Document{}, &config.Error{File: path, Problem: err.Error()}
	}
	doc, err := Parse(path, text)
	if err != nil {
		return Document{}, err
	}
	for i := range doc.RateTables {
		t := &doc.RateTables[i]
		if t.RatesFile == "" {
			continue
		}
		name := t.RatesFile
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		if t.Rates, err = os.ReadFile(name); err != nil {
			return Document{}, &config.Error{File: path, Key: "rate_table.rates_file", Problem: err.Error()}
		}
	}
	return doc, nil
}

// Parse is Load for a text without its rates files; name stands in errors.
func Parse(name string, text []byte) (Document, error) {
	var doc Document
	err := decode(text, &doc)
	if err == nil {
		err = doc.validate()
	}
	if err != nil {
		return Document{}, config.Located(name, err)
	}
	return doc, nil
}

// validate finds what the API would not: objects without a name, and names that
// are there twice.
func (d *Document) validate() error {
	seen := map[string]bool{}
	check := func(kind string, n int, id, key string) error {
		switch {
		case id == "":
			return fmt.Errorf("%s %d: %s is missing", kind, n+1, key)
		case seen[kind+"\x00"+id]:
			return fmt.Errorf("%s %q is there twice", kind, id)
		}
		seen[kind+"\x00"+id] = true
		return nil
	}
	var errs []error
	for i, o := range d.Parameters {
		errs = append(errs, check("parameter", i, o.Name, "name"))
	}
	for i, o := range d.NumberLists {
		errs = append(errs, check("number_list", i, o.Name, "name"))
	}
	for i, o := range d.RateTables {
		errs = append(errs, check("rate_table", i, o.ID, "id"))
	}
	for i, o := range d.Accounts {
		errs = append(errs, check("account", i, o.ID, "id"))
	}
	for i, o := range d.MappingGateways {
		errs = append(errs, check("mapping_gateway", i, o.ID, "id"))
	}
	for i, o := range d.RoutingGateways {
		errs = append(errs, check("routing_gateway", i, o.ID, "id"))
	}
	for i, o := range d.Packages {
		errs = append(errs, check("package", i, o.ID, "id"))
	}
	for i, o := range d.TopUps {
		errs = append(errs, check("topup", i, o.Key, "key"))
	}
	return errors.Join(errs...)
}

// decode reads TOML into a struct whose names are in json tags.
func decode(text []byte, doc *Document) error {
	shaped := newShape(doc)
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(shaped.Interface()); err != nil {
		return err
	}
	fill(shaped.Elem(), doc)
	return nil
}
