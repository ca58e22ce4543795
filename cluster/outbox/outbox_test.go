package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/cluster"
)

// memory is a Store whose content outlives a box.
type memory struct {
	mu   sync.Mutex // guards what follows
	last uint64
	all  []Record
}

func (m *memory) Append(v []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.all = append(m.all, Record{m.last, slices.Clone(v)})
	return m.last, nil
}

func (m *memory) Remove(ids ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(r Record) bool { return slices.Contains(ids, r.ID) })
	return nil
}

func (m *memory) Load() ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all), nil
}

// leader commits when it is up, and notes bodies and ages.
type leader struct {
	mu   sync.Mutex // guards what follows
	up   bool
	got  []string
	ages []time.Duration
}

func (l *leader) Propose(_ context.Context, c cluster.Command) (cluster.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up {
		return cluster.Result{}, cluster.ErrTimeout
	}
	l.got, l.ages = append(l.got, string(c.Body)), append(l.ages, time.Since(c.Since))
	return cluster.Result{Index: 1}, nil
}

func (l *leader) rise() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = true
}

func run(t *testing.T, cfg Config) (*Box, func()) {
	t.Helper()
	b, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return b, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestSettlementsWaitForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := &leader{}, &memory{}
		b, stop := run(t, Config{Store: m, Proposer: l})
		for i := range 200 {
			if err := b.Put(fmt.Append(nil, i), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if b.Len() != 200 {
			t.Fatalf("%d wait, want 200", b.Len())
		}
		l.rise()
		time.Sleep(5 * time.Second)
		if b.Len() != 0 || len(l.got) != 200 || len(m.all) != 0 {
			t.Errorf("%d wait, %d committed, %d on disk", b.Len(), len(l.got), len(m.all))
		}
		stop()
	})
}

// TestAges: the age of an event is right over restarts of the process, with a
// wall clock that jumped, and of the machine.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := &memory{}, &leader{}
		begin := time.Now()
		var jump, reboot time.Duration
		cfg := Config{Store: m, Proposer: l, BootID: "one",
			Boot: func() time.Duration { return time.Since(begin) - reboot + time.Hour },
			Wall: func() time.Time { return time.Now().Add(jump) }}
		b, stop := run(t, cfg)
		if err := b.Put([]byte("bye"), time.Now().Add(-3*time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop()
		jump = -time.Hour
		_, stop = run(t, cfg)
		time.Sleep(time.Second)
		stop()
		jump, cfg.BootID = 0, "two" // and the machine reboots
		l.rise()
		_, stop = run(t, cfg)
		time.Sleep(time.Second)
		stop()
		if len(l.ages) != 1 || l.ages[0].Round(time.Second) != 14*time.Second {
			t.Errorf("ages %v, want 14s", l.ages)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m, l := &memory{}, &leader{up: true}
		begin := time.Now()
		var jump time.Duration
		cfg := Config{Store: m, Proposer: &leader{}, BootID: "one",
			Boot: func() time.Duration { return time.Since(begin) },
			Wall: func() time.Time { return time.Now().Add(jump) }}
		b, stop := run(t, cfg)
		if err := b.Put([]byte("bye"), time.Now()); err != nil {
			t.Fatal(err)
		}
		stop()
		time.Sleep(20 * time.Second)
		jump, cfg.Proposer = time.Hour, l // the same boot: the wall clock does not matter
		_, stop = run(t, cfg)
		time.Sleep(time.Second)
		stop()
		if len(l.ages) != 1 || l.ages[0].Round(time.Second) < 20*time.Second || l.ages[0] > 25*time.Second {
			t.Errorf("ages %v, want about 20s", l.ages)
		}
	})
}

func TestDamagedRecordIsRefused(t *testing.T) {
	m := &memory{all: []Record{{1, []byte{0xff}}}}
	if _, err := Open(Config{Store: m, Proposer: &leader{}}); err == nil {
		t.Error("a damaged record was accepted")
	}
	if _, err := Open(Config{}); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("empty config: %v", err)
	}
}
