package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/fsm/number"
	"tandem/node/api/client"
)

func (s *server) addBlacklist(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("blacklist", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/blacklist", "list-blocks", "List the dynamic blacklist"), s.blocks)
	huma.Register(api, op(http.MethodGet, "/blacklist/{number}", "why-blocked", "Show a number's entries with their evidence"), s.why)
	huma.Register(api, op(http.MethodPut, "/blacklist/{number}", "put-block",
		"Block a number, or change its entry", client.RoleOperator, client.RoleRouting), s.putBlock)
	huma.Register(api, op(http.MethodDelete, "/blacklist/{number}", "delete-block",
		"Remove a number's entries", client.RoleOperator, client.RoleRouting), s.deleteBlock)
}

// blockLists are the names of the dynamic lists, in the order of fsm's
// constants.
func blockLists() []string {
	return []string{"", client.ListMalicious, client.ListNoAnswer, client.ListConcurrent}
}

type listBlocks struct {
	Paging
	List    string `query:"list" enum:"malicious,no-answer,concurrent"`
	Scope   string `query:"scope" maxLength:"64" doc:"Routing gateway"`
	Account string `query:"account" maxLength:"64"`
}

func (s *server) blocks(ctx context.Context, in *listBlocks) (*page[client.Block], error) {
	after, err := in.afterBlock()
	if err != nil {
		return nil, err
	}
	var records []fsm.Block
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		records, index = st.Blocks(fsm.BlockList(choose(in.List, blockLists())), after, in.Limit), st.Index()
	})
	next := ""
	if len(records) == in.Limit {
		next = blockKey(&records[len(records)-1])
	}
	items := make([]client.Block, 0, len(records))
	for i := range records {
		b := &records[i]
		if (in.Scope == "" || b.Scope == in.Scope) && (in.Account == "" || b.Account == in.Account) {
			items = append(items, showBlock(b))
		}
	}
	return listed(ctx, items, next, index), nil
}

// blockKey is what names an entry: a cursor. No part of it has a space.
func blockKey(b *fsm.Block) string {
	return strings.Join([]string{strconv.Itoa(int(b.List)), b.Scope, b.Account, b.Number}, " ")
}

func (p *Paging) afterBlock() (*fsm.Block, error) {
	text, err := p.after()
	if err != nil || text == "" {
		return nil, err
	}
	parts := strings.Split(text, " ")
	if len(parts) != 4 {
		return nil, badField("query.cursor", p.Cursor, "is no cursor of this list")
	}
	list, err := strconv.ParseUint(parts[0], 10, 8)
	if err != nil {
		return nil, badField("query.cursor", p.Cursor, "is no cursor of this list")
	}
	return &fsm.Block{List: fsm.BlockList(list), Scope: parts[1], Account: parts[2], Number: parts[3]}, nil
}

type getBlocks struct {
	Reading
	Number string `path:"number" minLength:"1" maxLength:"64"`
}

// why shows the entries of a number as it may be written.
func (s *server) why(ctx context.Context, in *getBlocks) (*page[client.Block], error) {
	n, err := digits(in.Number)
	if err != nil {
		return nil, err
	}
	var records []fsm.Block
	var index uint64
	s.cfg.State.View(func(st *fsm.State) { records, index = st.BlocksOf(n), st.Index() })
	if len(records) == 0 {
		return nil, notThere("number %q in the dynamic blacklist", n).hint("tandem blacklist list")
	}
	items := make([]client.Block, 0, len(records))
	for i := range records {
		items = append(items, showBlock(&records[i]))
	}
	return listed(ctx, items, "", index), nil
}

// digits returns the normal form of a number in a path.
func digits(text string) (string, error) {
	n, err := number.Normalise(text)
	if err != nil || n.Digits == "" {
		return "", badField("path.number", text, "is no number")
	}
	return n.Digits, nil
}

type putBlock struct {
	Number string `path:"number" minLength:"1" maxLength:"64"`
	Body   client.BlockSettings
}

// putBlock has no key: its end is reckoned from now, and to block again is to
// block.
func (s *server) putBlock(ctx context.Context, in *putBlock) (*object[client.Block], error) {
	n, err := digits(in.Number)
	if err != nil {
		return nil, err
	}
	b := fsm.Block{
		Number: n, List: fsm.BlockList(max(choose(in.Body.List, blockLists()), int(fsm.Malicious))),
		Scope: in.Body.Scope, Account: in.Body.Account, Memo: in.Body.Memo,
	}
	r, err := s.commit(ctx, "", &fsm.PutBlock{Block: b, For: time.Duration(in.Body.For), Forever: in.Body.Forever})
	if err != nil {
		return nil, err
	}
	s.cfg.State.View(func(st *fsm.State) {
		for _, stored := range st.BlocksOf(n) {
			if blockKey(&stored) == blockKey(&b) {
				b = stored
			}
		}
	})
	return &object[client.Block]{Index: r.Index, Body: showBlock(&b)}, nil
}

type deleteBlock struct {
	Number string `path:"number" minLength:"1" maxLength:"64"`
	List   string `query:"list" enum:"malicious,no-answer,concurrent" doc:"absent: all lists and scopes"`
	Scope  string `query:"scope" maxLength:"64" doc:"Routing gateway; absent: with a list everywhere, else all"`
}

// deleteBlock removes entries: those of one list and scope, or all.
func (s *server) deleteBlock(ctx context.Context, in *deleteBlock) (*object[client.Done], error) {
	n, err := digits(in.Number)
	if err != nil {
		return nil, err
	}
	if in.List != "" {
		return s.remove(ctx, "", &fsm.DeleteBlock{
			Number: n, List: fsm.BlockList(choose(in.List, blockLists())), Scope: in.Scope,
		})
	}
	var records []fsm.Block
	s.cfg.State.View(func(st *fsm.State) { records = st.BlocksOf(n) })
	records = slices.DeleteFunc(records, func(b fsm.Block) bool { return in.Scope != "" && in.Scope != b.Scope })
	if len(records) == 0 {
		return nil, notThere("number %q in the dynamic blacklist", n).hint("tandem blacklist list")
	}
	seen := map[fsm.DeleteBlock]bool{}
	out := &object[client.Done]{}
	for _, b := range records {
		body := fsm.DeleteBlock{Number: n, List: b.List, Scope: b.Scope}
		if seen[body] {
			continue
		}
		seen[body] = true
		r, err := s.commit(ctx, "", &body)
		if err != nil {
			return nil, err
		}
		out.Index, out.Body.Index, out.Body.At = r.Index, r.Index, timeOf(r.At)
		out.Body.Count += r.Count
	}
	return out, nil
}

func showBlock(b *fsm.Block) client.Block {
	return client.Block{
		Number: b.Number, List: b.List.String(), Scope: b.Scope, Account: b.Account, Manual: b.Manual,
		Since: timeOf(b.Since), Until: timeOf(b.Until), Limit: b.Limit, Count: b.Count, Window: client.Seconds(b.Window),
		First: timeOf(b.First), LastCall: timeOf(b.LastCall), Node: string(b.Node), Sample: b.Sample, Hits: b.Hits, Memo: b.Memo,
	}
}
