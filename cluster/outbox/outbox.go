// Package outbox is a durable local queue for settlements that could not commit
// while there was no leader. What is in it is offered to the cluster until it
// commits, over restarts.
package outbox

import (
	"context"
	"time"

	"tandem/cluster"
)

// Proposer is the part of a cluster that the outbox needs.
type Proposer interface {
	Propose(ctx context.Context, cmd cluster.Command) (cluster.Result, error)
}

// Config is what an outbox is made of.
type Config struct {
	// Path of its own bbolt file.
	Path     string
	Proposer Proposer
	// BootID names this boot of the machine and Boot the time since then
	// (CLOCK_BOOTTIME); they keep ages exact over a restart of the process.
	BootID string
	Boot   func() time.Duration
	Wall   func() time.Time
	// Done hears of every result, also refusals. May be nil.
	Done func(body []byte, r cluster.Result)
}

// Box is an open outbox.
type Box struct{}

// Open opens or creates it.
func Open(cfg Config) (*Box, error) { panic("unfinished") }

// Put stores a command durably; it returns after the fsync.
func (b *Box) Put(body []byte, since time.Time) error { panic("unfinished") }

// Len is the number of commands that wait.
func (b *Box) Len() int { panic("unfinished") }

// Run offers what waits, oldest first, until ctx ends.
func (b *Box) Run(ctx context.Context) error { panic("unfinished") }
