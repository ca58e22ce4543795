package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"tandem/node/api"
	"tandem/node/metrics"
)

// Bounds of the HTTP server against slow or silent clients.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 60 * time.Second // an import of a large rate table over a slow line
	idleTimeout       = 2 * time.Minute
	stopTimeout       = 5 * time.Second // for requests in progress when the node stops
)

// openAPI makes the API's handler.
func (n *Node) openAPI() error {
	if n.opts.HTTP == nil {
		return nil
	}
	figures, err := metrics.Handler(n.sources())
	if err != nil {
		return err
	}
	n.handler, err = api.New(api.Config{
		Node: string(n.id), Version: n.opts.Version,
		Proposer: n.proposer, State: n, Cluster: n.cluster, Operator: n, CDRs: n.opts.CDRs, Traces: n,
		Ready: n.ready, Metrics: figures, Logger: n.log,
	})
	return err
}

// sources is where the metrics come from.
func (n *Node) sources() metrics.Sources {
	s := metrics.Sources{
		Version: n.opts.Version, Cluster: n.cluster, State: n, Calls: n.calls, Guard: n.guard, CDRs: n.opts.CDRs,
		SIP: n.lines.sip, Media: n.lines.media,
	}
	s.Broken = n.replica.broken.Load
	s.Takeover = n.takeover
	if n.gateways != nil {
		s.Health = n.gateways.check
	}
	if n.outbox != nil {
		s.Outbox = n.outbox
	}
	return s
}

// Why a node takes no calls.
var (
	errStarting = errors.New("the node is starting: its announcement is not committed yet")
	errNoLease  = errors.New("the node has no lease: it does not reach a majority of the members")
	errDraining = errors.New("the node is draining")
)

// ready says why the node takes no calls.
func (n *Node) ready() error {
	switch {
	case !n.announced():
		return errStarting
	case !n.leased():
		return errNoLease
	case n.draining():
		return errDraining
	}
	return nil
}

// serveAPI answers HTTP until ctx ends.
func (n *Node) serveAPI(ctx context.Context) error {
	if n.opts.HTTP == nil {
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{
		Handler:           n.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(n.opts.HTTP) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
