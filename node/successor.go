package node

import (
	"fmt"

	"tandem/cluster"
	"tandem/fsm"
)

// successor is the machine of a cluster's new generation: before its first
// snapshot it ends what belonged to the old one. Calls are charged to their last
// proof of life, and all members are gone: whoever comes back is a new one, so
// that the first node alone has a majority.
type successor struct {
	*replica
	begun  bool
	before fsm.Counts // as the old generation left it
	out    *Recovered
}

// Snapshot implements cluster.Machine.
func (s *successor) Snapshot() (cluster.SnapshotWriter, error) {
	if !s.begun {
		s.begun = true
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	return s.replica.Snapshot()
}

// begin ends the old generation. An interrupted recovery begins again with a
// state that has begun already: then nothing is left to end.
func (s *successor) begin() error {
	s.mu.Lock()
	st := s.state
	s.before = st.Counts()
	s.out.Ended = s.before.Calls
	entry := fsm.Entry{At: st.At()}
	for after := (fsm.CallID{}); ; {
		page := st.Calls(fsm.CallFilter{}, after, fsm.MaxPage)
		for _, c := range page {
			entry.Commands = append(entry.Commands, fsm.Command{Body: &fsm.EndCall{
				Call: c.ID, Epoch: c.Epoch, How: fsm.EndDecision, Reason: fsm.EndRestored, By: fsm.ByServer,
			}})
			after = c.ID
		}
		if len(page) < fsm.MaxPage {
			break
		}
	}
	members := st.Members()
	for _, m := range members {
		entry.Commands = append(entry.Commands, fsm.Command{Body: &fsm.NodeDown{Node: m.Node, Incarnation: m.Incarnation, Exited: true}})
	}
	for _, m := range members {
		entry.Commands = append(entry.Commands, fsm.Command{Body: &fsm.RemoveMember{Node: m.Node}})
	}
	applied := st.Apply(st.Index(), entry)
	s.mu.Unlock()
	for i, r := range applied.Results {
		if r.Code != fsm.OK {
			return fmt.Errorf("begin the new generation: %s: %s: %s", entry.Commands[i].Body.Kind(), r.Code, r.Detail)
		}
	}
	s.out.Charged = applied.CDRs
	return s.cdrs.Append(&applied)
}
