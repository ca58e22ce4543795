package address

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"time"
)

// maxOutput is what an error shows of a script's output.
const maxOutput = 512

// killDelay is how long a script's children may keep its output open after it was
// killed.
const killDelay = 100 * time.Millisecond

// script moves addresses by an operator's program: a cloud's API, a BGP
// announcement. It has to be idempotent, since a node repeats itself.
type script struct {
	path    string
	timeout time.Duration
}

func (s *script) Add(ctx context.Context, ip netip.Addr, _ bool) error { return s.run(ctx, "add", ip) }

func (s *script) Hold(ctx context.Context, _ netip.Addr) error {
	<-ctx.Done()
	return nil
}

// Yield does nothing: the new owner's "add" moves the address, and a "del" that
// came after it would take it away again.
func (s *script) Yield(context.Context, netip.Addr) error { return nil }

func (s *script) Remove(ctx context.Context, ip netip.Addr) error { return s.run(ctx, "del", ip) }

func (s *script) run(ctx context.Context, verb string, ip netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, verb, ip.String())
	cmd.WaitDelay = killDelay
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("hook %s %s %s: not done within %v", s.path, verb, ip, s.timeout)
	}
	out = bytes.TrimSpace(out[:min(len(out), maxOutput)])
	return fmt.Errorf("hook %s %s %s: %w: %s", s.path, verb, ip, err, out)
}
