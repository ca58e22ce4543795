// Package api is a node's HTTP API: resources below /api/v1, described by an
// OpenAPI 3.1 document that is made from the Go types, and beside them /metrics,
// /healthz and /readyz.
//
// It translates. A mutation becomes a command of the state machine, whose
// refusal becomes a problem (RFC 9457); a read looks at the local replica, by
// default after the leader has confirmed how far that has to be. It never
// decides anything about money or calls itself, never stores anything, and never
// shows a token's secret after it was made.
//
//	handler, err := api.New(api.Config{Node: "n1", Proposer: n, State: n, ...})
//
// A file per resource: the operations, then the translation between the objects
// of package client and those of fsm.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/cdr"
	"tandem/node/trace"
)

// Proposer commits commands.
type Proposer interface {
	// Propose commits a command and returns its result after the local replica
	// has applied it. Key is its idempotency key, or empty.
	Propose(ctx context.Context, lane cluster.Lane, key string, body fsm.Body) (fsm.Result, error)
}

// State is the local replica of the state machine.
type State interface {
	// View calls fn with the state, which must not be changed or kept.
	View(fn func(*fsm.State))
}

// Cluster is what the API asks of consensus.
type Cluster interface {
	// ReadIndex waits until the local replica has everything that was
	// acknowledged anywhere before the call.
	ReadIndex(ctx context.Context) (uint64, error)
	Status() cluster.Status
}

// Traces finds the SIP messages of a call on all nodes: those with one of the
// Call-IDs, and those of our legs of the call, unless it is zero. What is found is
// good even with an error, which says which nodes did not answer.
type Traces interface {
	Trace(ctx context.Context, call fsm.CallID, callIDs []string) ([]trace.Message, error)
}

// Config is what the API is made of.
type Config struct {
	Node     string // name of this node
	Version  string // of the build
	Proposer Proposer
	State    State
	Cluster  Cluster
	Operator Operator
	CDRs     *cdr.Store
	Traces   Traces // nil: no messages are kept
	// Ready says why the node takes no calls at the moment; nil: it does. A nil
	// func is always ready.
	Ready func() error
	// Metrics answers /metrics; nil: 404.
	Metrics http.Handler
	Logger  *slog.Logger // nil discards
}

// Validate reports the first field that is missing.
func (c *Config) Validate() error {
	switch {
	case c.Node == "":
		return errors.New("api: Node is empty")
	case c.Proposer == nil:
		return errors.New("api: Proposer is missing")
	case c.State == nil:
		return errors.New("api: State is missing")
	case c.Cluster == nil:
		return errors.New("api: Cluster is missing")
	case c.Operator == nil:
		return errors.New("api: Operator is missing")
	case c.CDRs == nil:
		return errors.New("api: CDRs is missing")
	}
	return nil
}

// server is the API of one node. It has no state of its own but the tokens'
// request rates.
type server struct {
	cfg    Config
	log    *slog.Logger
	limits *limits
}

// New returns the handler of the API.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{cfg: cfg, log: cfg.Logger, limits: newLimits()}
	mux := http.NewServeMux()
	document, err := s.register(mux)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	mux.HandleFunc("GET /api/v1/openapi.json", document.serve)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	mux.HandleFunc("/", s.notFound(mux))
	return s.outer(mux), nil
}

// outer is around every request: headers that all answers have.
func (s *server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(headerNode, s.cfg.Node)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		start := time.Now()
		next.ServeHTTP(w, r)
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "took", time.Since(start))
	})
}

// notFound answers for paths and methods that are not there.
func (s *server) notFound(mux *http.ServeMux) http.HandlerFunc {
	methods := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}
	return func(w http.ResponseWriter, r *http.Request) {
		allowed := slices.DeleteFunc(slices.Clone(methods), func(m string) bool {
			_, pattern := mux.Handler(&http.Request{Method: m, URL: r.URL, Host: r.Host})
			return pattern == "/"
		})
		if len(allowed) == 0 {
			s.fail(w, notThere("path %q", r.URL.Path).hint("see /api/v1/openapi.json"))
			return
		}
		for _, m := range allowed {
			w.Header().Add("Allow", m)
		}
		s.fail(w, problem(http.StatusMethodNotAllowed, "method-not-allowed", "%s is not possible here", r.Method))
	}
}

// healthz says that the process is there.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// readyz says whether the node takes calls: it has a leader, has caught up and
// is not draining. Load balancers and rolling upgrades wait for it.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// readyLag is how many entries behind the leader's commit a node may be and
// still count as caught up: less than a tenth of a second of full load.
const readyLag = 100

// ready says why the node takes no calls.
func (s *server) ready() error {
	st := s.cfg.Cluster.Status()
	switch {
	case st.Leader == "":
		return errors.New("no leader is known")
	case st.Commit > st.Applied+readyLag:
		return fmt.Errorf("catching up: %d entries behind", st.Commit-st.Applied)
	case s.cfg.Ready != nil:
		return s.cfg.Ready()
	}
	return nil
}
