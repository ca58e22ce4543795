package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"tandem/fsm"
	"tandem/node/api/client"
)

// plain is a state machine behind nothing.
type plain struct{ state *fsm.State }

func (p plain) View(fn func(*fsm.State)) { fn(p.state) }

// BenchmarkGet is one stale read, from the request to the answer.
func BenchmarkGet(b *testing.B) {
	made := client.NewCredential()
	p := plain{state: fsm.New(fsm.Config{})}
	p.state.Apply(1, fsm.Entry{At: 1, Commands: []fsm.Command{
		{Body: &fsm.PutToken{Token: fsm.Token{ID: made.ID, Role: client.RoleViewer, Hash: made.Hash()}}},
		{Body: &fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD"}}},
	}})
	s := &server{cfg: Config{Node: "n1", State: p}, limits: newLimits()}
	mux := http.NewServeMux()
	if _, err := s.register(mux); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/accounts/acme?consistency=stale", nil)
	r.Header.Set("Authorization", "Bearer "+made.String())
	for b.Loop() {
		clear(s.limits.of) // the rate of one token is not what is measured
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
