package game

import (
	"context"
	"time"

	"tandem/chaos"
	"tandem/node/load"
)

// Sample is a look at the cluster.
type Sample struct {
	At     time.Duration `json:"at"`
	Leader string        `json:"leader,omitempty"`
	Calls  int           `json:"calls"`
	Up     []bool        `json:"up"` // which nodes answered
}

const (
	sampleEvery = 200 * time.Millisecond
	askFor      = 150 * time.Millisecond // a node that takes longer does not answer
	maxSamples  = 5000                   // then every other one goes
)

// watch looks at the cluster again and again.
func (m *match) watch(ctx context.Context) {
	every := sampleEvery
	for ctx.Err() == nil {
		s := Sample{At: time.Since(m.begin)}
		for i := range m.cluster.Nodes() {
			asking, cancel := context.WithTimeout(ctx, askFor)
			status, _, err := m.cluster.Replica(i).Status(asking)
			cancel()
			s.Up = append(s.Up, err == nil)
			if err == nil && s.Leader == "" && status.Leader != "" {
				s.Leader, s.Calls = status.Leader, status.Calls
			}
		}
		m.mu.Lock()
		if m.result.Samples = append(m.result.Samples, s); len(m.result.Samples) == maxSamples {
			for i := range maxSamples / 2 {
				m.result.Samples[i] = m.result.Samples[2*i]
			}
			m.result.Samples = m.result.Samples[:maxSamples/2]
			every *= 2
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// ended records a call as the customer saw it.
func (m *match) ended(o load.Outcome) {
	c := chaos.Call{
		ID: o.CallID, Node: m.nodeAt(o), Began: o.Start.Sub(m.begin), Heard: time.Since(m.begin),
		Status: o.Status, Callee: o.Callee, Cut: o.Cut, ByeLost: o.ByeLost, Gap: o.Gap(),
	}
	if o.Answered() {
		c.Answered = c.Began + o.Setup
	}
	if o.Answered() && !o.ByeLost {
		c.Ended, c.Released = c.Answered+o.Talk, time.Since(m.begin)
	}
	m.recorder.Call(c)
}

// nodeAt names the home of the address that a call went to.
func (m *match) nodeAt(o load.Outcome) string {
	for i := range m.cluster.Nodes() {
		if m.cluster.SIP(i) == o.Target {
			return m.cluster.Name(i)
		}
	}
	return o.Target.String()
}

// leg records a call as the carrier saw it.
func (m *match) leg(o load.LegOutcome) {
	l := chaos.Leg{ID: o.CallID, Callee: o.Callee, Began: o.Start.Sub(m.begin)}
	if !o.Answered.IsZero() {
		l.Answered = o.Answered.Sub(m.begin)
	}
	if !o.Finished.IsZero() {
		l.Ended = o.Finished.Sub(m.begin)
	}
	m.recorder.Leg(l)
}
