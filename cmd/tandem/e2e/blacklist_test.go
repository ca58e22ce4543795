//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/node/api/client"
)

// The limit of the tests: the thirtieth attempt within a minute is the first
// that is refused.
const (
	attackLimit    = 30
	attackAttempts = 40
	attackExpiry   = 12 * time.Second
)

func attackParameters() string {
	return fmt.Sprintf(`
[[parameter]]
name  = "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT"
value = "%d"

[[parameter]]
name  = "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_CHECK_INTERVAL"
value = "60"

[[parameter]]
name  = "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_EXPIRE"
value = "%d"

[[number_list]]
name    = "whitelist"
numbers = ["442079460009"]
`, attackLimit, int(attackExpiry.Seconds()))
}

// A caller tries too often, spread over all nodes. The count is one count, the
// block is known everywhere, outlives the leader, and ends in time.
func TestCallerBlacklisted(t *testing.T) {
	l := newLab(t, "1000", attackParameters())
	vendor := l.vendor("vendor")
	const caller, white = "442079460001", "442079460009"

	flagged := l.spread(caller)
	passed, refused := l.attack(caller, attackAttempts)
	if passed != attackLimit-1 || refused != attackAttempts-attackLimit+1 {
		t.Errorf("%d attempts passed and %d were refused, want %d and %d",
			passed, refused, attackLimit-1, attackAttempts-attackLimit+1)
	}
	if slowest := flagged(); slowest > knownAfter {
		t.Errorf("the block was known on all nodes after %v", slowest)
	}
	block := l.block(caller)
	if d := block.Until.Sub(block.Since.Time); d != attackExpiry || block.Count != attackLimit {
		t.Errorf("blocked for %v after %d attempts: %+v", d, block.Count, block)
	}
	l.kill(l.leader(), 0)
	if passed, refused := l.attack(caller, 3); passed != 0 || refused != 3 {
		t.Errorf("under a new leader %d attempts passed and %d were refused", passed, refused)
	}
	if passed, refused := l.attack(white, attackAttempts); refused != 0 || passed != attackAttempts {
		t.Errorf("the white-listed caller was refused %d times", refused)
	}
	l.expires(caller, block)
	if passed, _ := l.attack(caller, 1); passed != 1 {
		t.Error("still refused after the end of the block")
	}
	vendor.stop()
	l.balanced(l.settled(20 * time.Second))
}

// knownAfter is how long it may take until all nodes refuse a caller.
const knownAfter = 250 * time.Millisecond

// attack makes short calls of one caller through all nodes at once.
func (l *lab) attack(caller string, attempts int) (passed, refused int) {
	l.t.Helper()
	phones := l.finish(l.customers(traffic{
		prefix: "49", caller: caller, cps: 60, calls: attempts, talk: 100 * time.Millisecond,
	}), 30*time.Second)
	for id, p := range phones {
		switch {
		case p.done >= 0:
			passed++
		case p.status == 403:
			refused++
		default:
			l.t.Errorf("call %s neither passed nor was refused: %+v", id, *p)
		}
	}
	return passed, refused
}

// spread watches for a block on each node; the returned function says how much
// later than the first the last node had it.
func (l *lab) spread(number string) func() time.Duration {
	seen := make(chan time.Time, len(l.nodes))
	for _, m := range l.nodes {
		go func() {
			for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
				if found, err := m.api.WhyBlocked(l.t.Context(), number); err == nil && len(found.Items) > 0 {
					break
				}
			}
			seen <- time.Now()
		}()
	}
	return func() time.Duration {
		first := <-seen
		last := first
		for range len(l.nodes) - 1 {
			last = <-seen
		}
		return last.Sub(first)
	}
}

// block returns the one entry of a number, which all nodes have.
func (l *lab) block(number string) client.Block {
	l.t.Helper()
	var out client.Block
	for _, m := range l.nodes {
		found, err := m.api.WhyBlocked(l.t.Context(), number)
		if err != nil || len(found.Items) != 1 {
			l.t.Fatalf("%s: why is %s blocked: %+v %v", m.name, number, found.Items, err)
		}
		out = found.Items[0]
	}
	return out
}

// expires waits for the end of a block on all nodes: within a second of its time.
func (l *lab) expires(number string, block client.Block) {
	l.t.Helper()
	within(l.t, attackExpiry+5*time.Second, "the block ends", func() (bool, string) {
		for _, m := range l.nodes {
			s, _, err := m.api.Status(l.t.Context())
			if err != nil {
				return false, err.Error()
			}
			_, err = m.api.WhyBlocked(l.t.Context(), number)
			gone := problemCode(err) == client.CodeNotFound
			off := s.At.Sub(block.Until.Time)
			switch {
			case !gone && off > time.Second:
				l.t.Fatalf("%s: %s is still blocked %v after the end: %v", m.name, number, off, err)
			case !gone:
				return false, fmt.Sprintf("%s: %v before its end", m.name, -off)
			case off < -time.Second:
				l.t.Fatalf("%s: %s is free %v before the end", m.name, number, -off)
			}
		}
		return true, ""
	})
}

// problemCode is the code of a refusal of the API; empty: there is none.
func problemCode(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}
