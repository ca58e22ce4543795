package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addNumberLists(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("number lists", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/number-lists", "list-number-lists", "List number lists, without their numbers"), s.numberLists)
	huma.Register(api, op(http.MethodGet, "/number-lists/{id}", "get-number-list", "Show a number list"), s.numberList)
	huma.Register(api, op(http.MethodPut, "/number-lists/{id}", "put-number-list",
		"Create a number list, or replace it", client.RoleOperator, client.RoleRouting), s.putNumberList)
	huma.Register(api, op(http.MethodDelete, "/number-lists/{id}", "delete-number-list",
		"Delete a number list that no gateway uses", client.RoleOperator, client.RoleRouting), s.deleteNumberList)
}

func numberListKind() kind[fsm.NumberList, client.NumberList] {
	return kind[fsm.NumberList, client.NumberList]{
		"number list", "GET /api/v1/number-lists", (*fsm.State).NumberList, showNumberList,
	}
}

func (s *server) numberLists(ctx context.Context, in *Paging) (*page[client.NumberListInfo], error) {
	return pageOf(ctx, s, in, (*fsm.State).NumberLists, func(l *fsm.NumberList) string { return l.Name }, nil,
		func(l *fsm.NumberList) client.NumberListInfo {
			return client.NumberListInfo{Name: l.Name, Count: len(l.Numbers), Memo: l.Memo}
		})
}

func (s *server) numberList(_ context.Context, in *getNamed) (*object[client.NumberList], error) {
	return find(s, numberListKind(), in.ID)
}

type putNumberList struct {
	Named
	Keyed
	Body client.NumberListSettings
}

func (s *server) putNumberList(ctx context.Context, in *putNumberList) (*object[client.NumberList], error) {
	return store(ctx, s, numberListKind(), in.Key, in.ID, &fsm.PutNumberList{List: fsm.NumberList{
		Name: in.ID, Numbers: in.Body.Numbers, Memo: in.Body.Memo,
	}})
}

func (s *server) deleteNumberList(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DeleteNumberList{Name: in.ID})
}

func showNumberList(l *fsm.NumberList) client.NumberList {
	numbers := l.Numbers
	if numbers == nil {
		numbers = []string{}
	}
	return client.NumberList{Name: l.Name, NumberListSettings: client.NumberListSettings{Numbers: numbers, Memo: l.Memo}}
}
