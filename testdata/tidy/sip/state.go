// Package sip has a second comment.
package sip

import (
	"errors"
	"sync"
	"sync/atomic"
)

// What is allowed: sentinels, tables, assertions, what the build embeds.
var (
	ErrGone       = errors.New("gone")
	table         = map[string]int{"one": 1, "two": 2}
	version       = "dev"
	reset         = func() map[string]int { return make(map[string]int) }
	_       error = (*refusal)(nil)
)

//go:embed state.go
var text string

// What is not.
var (
	count     int
	seen      = map[string]bool{}
	calls     = make(chan int)
	instance  = &refusal{}
	lock      = sync.Mutex{}
	hits      = [1]atomic.Int64{}
	addressed = 1
	cleared   = []int{1}
)

type refusal struct{}

func (*refusal) Error() string { return ErrGone.Error() + version + text }

func init() { reset() }

// Use writes what may not be written, and a local of the same name.
func Use() *int {
	table := table["one"]
	table++
	seen["x"] = true
	count++
	clear(cleared)
	calls <- count
	lock.Lock()
	hits[0].Add(1)
	_ = instance
	return &addressed
}

// Go1 and Go2 are one function cut in two.
func Go1() {}

// Go2 is the rest.
func Go2() {}
