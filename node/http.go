package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Bounds of the HTTP server against slow or silent clients.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 60 * time.Second // an import of a large rate table over a slow line
	idleTimeout       = 2 * time.Minute
	stopTimeout       = 5 * time.Second // for requests in progress when the node stops
)

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
