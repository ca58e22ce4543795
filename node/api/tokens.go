package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
)

func (s *server) addTokens(api huma.API) {
	op := func(method, path, id, summary string) huma.Operation {
		return tagged("tokens", operation(api, method, path, id, summary, client.RoleAdmin))
	}
	huma.Register(api, op(http.MethodGet, "/tokens", "list-tokens", "List API tokens, without their secrets"), s.tokens)
	huma.Register(api, op(http.MethodPost, "/tokens", "create-token", "Make an API token; its secret is shown once"), s.createToken)
	huma.Register(api, op(http.MethodDelete, "/tokens/{id}", "revoke-token", "Revoke an API token"), s.revokeToken)
}

func (s *server) tokens(ctx context.Context, in *Paging) (*page[client.Token], error) {
	return pageOf(ctx, s, in, (*fsm.State).Tokens, func(t *fsm.Token) string { return t.ID }, nil, showToken)
}

type createToken struct{ Body client.TokenSettings }

// createToken has no key: its secret cannot be shown again, so a retry makes
// another token and the one that nobody saw can be revoked.
func (s *server) createToken(ctx context.Context, in *createToken) (*object[client.Token], error) {
	made := client.NewCredential()
	t := fsm.Token{ID: made.ID, Name: in.Body.Name, Hash: made.Hash(), Role: in.Body.Role}
	if in.Body.Expires < 0 {
		return nil, badField("body.expires", in.Body.Expires.String(), "is in the past")
	}
	s.cfg.State.View(func(st *fsm.State) {
		if in.Body.Expires != 0 {
			t.Expires = st.At().Add(time.Duration(in.Body.Expires))
		}
	})
	r, err := s.commit(ctx, "", &fsm.PutToken{Token: t})
	if err != nil {
		return nil, err
	}
	out := &object[client.Token]{Index: r.Index, Body: showToken(&t)}
	out.Body.Created, out.Body.Secret = timeOf(r.At), made.String()
	return out, nil
}

func (s *server) revokeToken(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	if in.ID == asking(ctx).token.ID {
		return nil, problem(http.StatusConflict, client.CodeConflict, "token %q is the one that asks", in.ID).
			hint("revoke it with another administrator's token")
	}
	return s.remove(ctx, in.Key, &fsm.DeleteToken{ID: in.ID})
}

func showToken(t *fsm.Token) client.Token {
	return client.Token{ID: t.ID, Name: t.Name, Role: t.Role, Expires: timeOf(t.Expires), Created: timeOf(t.Created)}
}
