package cluster

import "context"

// Handler answers a request of the node from.
type Handler func(ctx context.Context, from string, req []byte) ([]byte, error)

// MaxMessage bounds a request or an answer.
const MaxMessage = 4 << 20

// Handle registers the handler of a name. All handlers are registered before
// Run; a second one of the same name panics.
func (c *Cluster) Handle(name string, h Handler) { panic("unfinished") }

// Call asks another node. An error of its handler comes back as RemoteError.
func (c *Cluster) Call(ctx context.Context, node, name string, req []byte) ([]byte, error) {
	panic("unfinished")
}

// RemoteError is the text of an error that a peer's handler returned.
type RemoteError string

func (e RemoteError) Error() string { return string(e) }
