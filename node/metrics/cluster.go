package metrics

import (
	"context"
	"time"

	"tandem/cluster"
	"tandem/fsm"
)

// syncWait is how long a scrape waits for the CDR store. Without it the figure
// of missing records is left out.
const syncWait = time.Second

// maxGateways bounds the gateways that are shown, of each role.
const maxGateways = 1000

// state reads the replica. It looks up counts, not records, except gateways.
func (s *scrape) state(from interface{ View(func(*fsm.State)) }) {
	var n fsm.Counts
	var index uint64
	var at fsm.Time
	var mappings []fsm.MappingGateway
	var routings []fsm.RoutingGateway
	from.View(func(st *fsm.State) {
		n, index, at = st.Counts(), st.Index(), st.At()
		mappings, routings = st.MappingGateways("", maxGateways), st.RoutingGateways("", maxGateways)
	})
	s.add(StateIndex, float64(index))
	s.add(StateTime, float64(at)/1e6)
	for kind, count := range map[string]int{
		"account": n.Accounts, "mapping_gateway": n.MappingGateways, "routing_gateway": n.RoutingGateways,
		"rate_table": n.RateTables, "rate": n.RateRows, "call": n.Calls, "ended_call": n.Ended, "block": n.Blocks,
		"window": n.Windows, "result": n.Results, "key": n.Keys, "member": n.Members,
	} {
		s.add(StateRecords, float64(count), kind)
	}
	s.add(ClusterCallsActive, float64(n.Calls))
	s.add(BlacklistEntries, float64(n.Blocks))
	s.add(BlacklistEvictedTotal, float64(n.Evicted))
	s.add(CDRSequence, float64(n.CDRs))
	s.add(TransferSequence, float64(n.Transfers))
	for i := range mappings {
		s.add(GatewayChannels, float64(mappings[i].Live), mappings[i].ID, "mapping")
	}
	for i := range routings {
		g := &routings[i]
		s.add(GatewayChannels, float64(g.Live), g.ID, "routing")
		up := 1.0
		if g.Disabled || g.OutUntil > at {
			up = 0
		}
		s.add(GatewayUp, up, g.ID)
		if s.from.Health != nil {
			answers := 1.0
			if s.from.Health.Down(g.ID) {
				answers = 0
			}
			s.add(GatewayAnswers, answers, g.ID)
		}
	}
	if s.from.CDRs == nil {
		return
	}
	// What is on its way to the disk is not missing.
	ctx, cancel := context.WithTimeout(context.Background(), syncWait)
	defer cancel()
	if s.from.CDRs.SyncAll(ctx) != nil {
		return
	}
	missing := uint64(0)
	gaps, _ := s.from.CDRs.Missing(n.CDRs, n.Transfers)
	for _, g := range gaps {
		missing += g.Len()
	}
	s.add(CDRMissing, float64(missing))
}

func (s *scrape) cluster(st cluster.Status, n cluster.Counters) {
	s.flag(RaftIsLeader, st.Leader == st.ID && st.ID != "")
	s.flag(RaftHasLeader, st.Leader != "")
	s.add(RaftTerm, float64(st.Term))
	s.add(RaftCommitIndex, float64(st.Commit))
	s.add(RaftAppliedIndex, float64(st.Applied))
	s.add(RaftSnapshotIndex, float64(st.Snapshot))
	for _, p := range st.Peers {
		if p.ID != st.ID {
			s.add(RaftFollowerLag, float64(p.Lag), p.ID)
		}
	}
	alive := 0
	for _, m := range st.Members {
		if m.Alive {
			alive++
		}
	}
	s.add(GossipMembers, float64(alive), "alive")
	s.add(GossipMembers, float64(len(st.Members)-alive), "dead")
	s.add(DiskStalledSeconds, st.DiskStalled.Seconds())
	s.add(RaftLeaderChangesTotal, float64(n.Elections))
	s.add(RaftEntriesTotal, float64(n.Entries))
	s.add(RaftEntryCommandsTotal, float64(n.EntryCommands))
	s.add(RaftMutesTotal, float64(n.Mutes))
	s.add(ClockAlarmsTotal, float64(n.ClockAlarms))
	mismatches := n.HashAlarms
	if s.from.Broken != nil {
		mismatches += s.from.Broken()
	}
	s.add(HashMismatchTotal, float64(mismatches))
	for result, count := range map[string]uint64{
		"committed": n.Committed, "busy": n.Busy, "timeout": n.TimedOut, "retried": n.Retries,
	} {
		s.add(CommandsTotal, float64(count), result)
	}
}
