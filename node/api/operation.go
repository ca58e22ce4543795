package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/api/client"
)

// What an operation's metadata says: the roles that may use it, and that its
// answer is this node's own view, for which the leader need not be asked.
const (
	metaRoles = "roles"
	metaLocal = "local"
)

// register adds all operations to mux and returns their document.
func (s *server) register(mux *http.ServeMux) (*document, error) {
	config := huma.DefaultConfig("Tandem", "1")
	config.Info.Description = "The API of a Tandem cluster. Any node answers; money is text, times are RFC 3339, durations are seconds."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // huma's docs page loads its viewer from a CDN
	config.CreateHooks = nil                                             // no $schema in answers
	config.Transformers = []huma.Transformer{s.finish}
	config.RejectUnknownQueryParameters = true
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[client.Time](), reflect.TypeFor[time.Time]())
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[client.Seconds](), reflect.TypeFor[float64]())
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "tandem_<id>_<secret>"},
	}
	api := humago.NewWithPrefix(mux, client.Prefix, config)
	api.UseMiddleware(s.admit)
	for _, add := range []func(huma.API){
		s.addAccounts, s.addPackages, s.addLedger, s.addGateways, s.addPhones, s.addRateTables, s.addRates, s.addParameters, s.addBlacklist,
		s.addNumberLists, s.addCalls, s.addCDRs, s.addTraces, s.addCluster, s.addNodes, s.addBackups, s.addRoutes, s.addTokens,
	} {
		add(api)
	}
	return newDocument(api.OpenAPI())
}

// operation describes one operation: any of the roles may use it, and the
// administrator; without roles everybody with a token may.
func operation(api huma.API, method, path, id, summary string, roles ...string) huma.Operation {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[client.Problem](), true, "Problem")
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		Metadata: map[string]any{metaRoles: roles},
		Security: []map[string][]string{{"token": append([]string{}, roles...)}},
		Responses: map[string]*huma.Response{"default": {
			Description: "Refused",
			Content:     map[string]*huma.MediaType{problemType: {Schema: schema}},
		}},
	}
}

// document is the OpenAPI document, made once.
type document struct{ json []byte }

func newDocument(o *huma.OpenAPI) (*document, error) {
	// huma's own error type is never sent: server.finish translates it.
	schemas := o.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	b, err := json.MarshalIndent(o, "", "  ")
	return &document{json: append(b, '\n')}, err
}

func (d *document) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(d.json) // the client went away: nobody to tell
}

// Reading is what every read takes.
type Reading struct {
	Consistency string `query:"consistency" enum:"leader,stale" default:"leader" doc:"leader: sees everything that was acknowledged before; stale: as far as this node is, also without a leader"`
}

// Paging is what every list takes.
type Paging struct {
	Reading
	Cursor string `query:"cursor" maxLength:"512" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// after returns the key behind which the page begins.
func (p *Paging) after() (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", badField("query.cursor", p.Cursor, "is no cursor of this API")
	}
	return string(b), nil
}

// Keyed is what a mutation takes that may be repeated.
type Keyed struct {
	Key string `header:"Idempotency-Key" maxLength:"100" doc:"A retry with the same key changes nothing and gets the first answer; kept for 24 hours"`
}

// object is an answer with one object.
type object[T any] struct {
	Index uint64 `header:"X-Tandem-Index" doc:"Log index that the answer is as of"`
	Body  T
}

// page is an answer with a part of a list.
type page[T any] struct {
	Index uint64 `header:"X-Tandem-Index" doc:"Log index that the list is as of"`
	Link  string `header:"Link" doc:"The next page (RFC 8288)"`
	Body  client.List[T]
}

// listed makes a page. next is the key of its last object if there may be more,
// else empty.
func listed[T any](ctx context.Context, items []T, next string, index uint64) *page[T] {
	if items == nil {
		items = []T{}
	}
	p := &page[T]{Index: index, Body: client.List[T]{Items: items, Index: index}}
	if next != "" {
		p.Body.Next = base64.RawURLEncoding.EncodeToString([]byte(next))
		u := asking(ctx).url
		q := u.Query()
		q.Set("cursor", p.Body.Next)
		u.RawQuery = q.Encode()
		p.Link = fmt.Sprintf("<%s>; rel=\"next\"", u.RequestURI())
	}
	return p
}

// pageOf lists records of the state that are ordered by a name. keep may be nil;
// a page from which it drops something is short.
func pageOf[E, T any](
	ctx context.Context, s *server, in *Paging, get func(st *fsm.State, after string, limit int) []E,
	name func(*E) string, keep func(*E) bool, show func(*E) T,
) (*page[T], error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	var records []E
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		records, index = get(st, after, in.Limit), st.Index()
	})
	next := ""
	if len(records) == in.Limit {
		next = name(&records[len(records)-1])
	}
	items := make([]T, 0, len(records))
	for i := range records {
		if keep == nil || keep(&records[i]) {
			items = append(items, show(&records[i]))
		}
	}
	return listed(ctx, items, next, index), nil
}

// kind is a kind of object: how it is found by its name and shown.
type kind[E, T any] struct {
	name string // in problems
	list string // command that shows which there are
	get  func(*fsm.State, string) (E, bool)
	show func(*E) T
}

// find answers with an object.
func find[E, T any](s *server, k kind[E, T], id string) (*object[T], error) {
	var out *object[T]
	s.cfg.State.View(func(st *fsm.State) {
		if e, ok := k.get(st, id); ok {
			out = &object[T]{Index: st.Index(), Body: k.show(&e)}
		}
	})
	if out == nil {
		return nil, notThere("%s %q", k.name, id).hint("%s", k.list)
	}
	return out, nil
}

// store commits a command that creates or replaces an object, and answers with
// that.
func store[E, T any](ctx context.Context, s *server, k kind[E, T], key, id string, body fsm.Body) (*object[T], error) {
	r, err := s.commit(ctx, key, body)
	if err != nil {
		return nil, err
	}
	out, err := find(s, k, id)
	if err == nil {
		out.Index = r.Index
	}
	return out, err
}

// remove commits a deletion.
func (s *server) remove(ctx context.Context, key string, body fsm.Body) (*object[client.Done], error) {
	r, err := s.commit(ctx, key, body)
	if err != nil {
		return nil, err
	}
	return &object[client.Done]{Index: r.Index, Body: client.Done{Index: r.Index, At: timeOf(r.At), Count: r.Count}}, nil
}

// commit proposes what an operator asked for and writes down who that was.
func (s *server) commit(ctx context.Context, key string, body fsm.Body) (fsm.Result, error) {
	r, err := s.propose(ctx, key, body)
	who := asking(ctx)
	log := s.log.With("command", body.Kind().String(), "path", who.url.Path, "token", who.token.ID, "name", who.token.Name)
	if err != nil {
		log.Info("change refused", "err", err)
	} else {
		log.Info("change", "index", r.Index)
	}
	return r, err
}

// propose commits a command under a key scoped by the asker's token, and returns
// the state machine's result or the problem that it is.
func (s *server) propose(ctx context.Context, key string, body fsm.Body) (fsm.Result, error) {
	if key != "" {
		key = asking(ctx).token.ID + "/" + key
	}
	r, err := s.cfg.Proposer.Propose(ctx, cluster.LaneStart, key, body)
	switch {
	case err != nil:
		return r, s.unavailable(err)
	case r.Code != fsm.OK:
		return r, refused(r)
	}
	return r, nil
}

// needKey refuses a mutation that must carry a key and does not.
func needKey(key string) error {
	if key != "" {
		return nil
	}
	return problem(http.StatusBadRequest, client.CodeKeyMissing, "header %s is missing: without it a retry could happen twice", client.HeaderKey).
		hint("send a fresh random text with each new request, and the same one with its retries")
}
