// Package watchman is the guard process of a node and the node's hold on it.
//
// A process that was killed cannot say so, and nobody else can tell its death
// from silence in less than a lease. So each node keeps a second, tiny process
// that holds a handle of the first one and a connection to every peer: when the
// kernel says that the node has ended, the guard takes its service addresses off
// the machine and tells the peers. That is proof of death, within milliseconds.
//
// The guard decides nothing: what follows from a death is for the peers. It never
// outlives its node for longer than that news takes, ignores every signal that
// asks a process to end, and is never proof by its own death: the node starts
// another one.
//
//	err := watchman.Watch(ctx, watchman.Config{PID: os.Getppid(), ...}) // in the guard
//	err := watchman.Keep(ctx, watchman.KeepConfig{Command: guard, ...}) // in the node
package watchman

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// News is what a node tells its guard: one line of JSON each time it changes.
type News struct {
	Incarnation uint64   `json:"incarnation"`    // this life of the node
	Peers       []string `json:"peers"`          // advertised addresses of the other nodes
	Stopping    bool     `json:"stopping"`       // the end that follows is a planned one
	Took        []string `json:"took,omitempty"` // service addresses that the node serves
}

// Voice speaks to the peers in the node's name.
type Voice interface {
	// Greet makes sure that there is a connection to each peer.
	Greet(ctx context.Context, peers []string) error
	// Exited tells all peers that this life of the node is over.
	Exited(ctx context.Context, incarnation uint64, peers []string) error
}

// Config is what a guard is made of.
type Config struct {
	PID   int       // of the node's process, our parent
	News  io.Reader // from the node; its end means nothing
	Voice Voice
	// Release takes service addresses of the node off this machine. Nil: there is
	// nothing to take off.
	Release func(ctx context.Context, ips []string) error
	Logger  *slog.Logger // nil discards
}

const (
	// greetEvery is how often the connections to the peers are tried; a greeting
	// that takes as long has failed.
	greetEvery = time.Second
	// releaseTimeout bounds the wait for the addresses: the peers are told all
	// the same, since they have proof and the kernel drops addresses by itself.
	releaseTimeout = 200 * time.Millisecond
	// tellTimeout is how long the guard tries to reach all peers after the death.
	// Those that heard nothing find out by the lease within that time.
	tellTimeout = 3 * time.Second
	// One attempt takes at most tryTimeout, so that a peer that is gone does not
	// keep those waiting whose connection had just broken; tellPause is between two.
	tryTimeout = 300 * time.Millisecond
	tellPause  = 50 * time.Millisecond
)

// Watch guards a node until its process has ended and the peers know, or ctx
// ends.
func Watch(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	process, err := openProcess(cfg.PID)
	if err != nil {
		return err
	}
	defer process.close()
	g := &guard{cfg: cfg, news: make(chan News, 1), ended: make(chan struct{})}
	alive, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		defer stop()
		if process.wait(alive) {
			close(g.ended)
		}
	})
	go g.read() // ends with the pipe, at the latest with this process
	last := g.greet(alive)
	all.Wait()
	select {
	case <-g.ended:
		g.tell(ctx, last)
		return nil
	default:
		return ctx.Err()
	}
}

// guard is a running Watch.
type guard struct {
	cfg   Config
	news  chan News // capacity 1: the newest
	ended chan struct{}
}

// read passes on the newest of what the node says.
func (g *guard) read() {
	lines := json.NewDecoder(g.cfg.News)
	for {
		var n News
		if err := lines.Decode(&n); err != nil {
			return
		}
		select {
		case <-g.news: // an older one that nobody took
		default:
		}
		g.news <- n
	}
}

// greet keeps the connections alive until ctx ends, and returns what the node
// said last.
func (g *guard) greet(ctx context.Context) News {
	var last News
	known := true
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			select {
			case last = <-g.news:
			default:
			}
			return last
		case n := <-g.news:
			fresh := !slices.Equal(n.Peers, last.Peers)
			if last = n; !fresh {
				continue
			}
		case <-tick.C:
		}
		try, cancel := context.WithTimeout(ctx, greetEvery)
		err := g.cfg.Voice.Greet(try, last.Peers)
		cancel()
		if ctx.Err() == nil && known != (err == nil) {
			known = err == nil
			g.cfg.Logger.Info("guard's connections", "complete", known, "err", err)
		}
	}
}

// tell brings the news of the death.
func (g *guard) tell(ctx context.Context, last News) {
	start := time.Now()
	if g.cfg.Release != nil && len(last.Took) > 0 {
		try, cancel := context.WithTimeout(ctx, releaseTimeout)
		if err := g.cfg.Release(try, last.Took); err != nil {
			g.cfg.Logger.Error("addresses of the dead node not taken off", "err", err)
		}
		cancel()
	}
	if last.Incarnation == 0 || len(last.Peers) == 0 {
		return // it died before it had said who it is, or it is alone
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, tryTimeout)
		err := g.cfg.Voice.Exited(try, last.Incarnation, last.Peers)
		done()
		if err == nil {
			g.cfg.Logger.Info("peers know that the node has ended", "incarnation", last.Incarnation,
				"planned", last.Stopping, "took", time.Since(start))
			return
		}
		select {
		case <-ctx.Done():
			g.cfg.Logger.Warn("not every peer knows that the node has ended", "incarnation", last.Incarnation, "err", err)
			return
		case <-time.After(tellPause):
		}
	}
}
