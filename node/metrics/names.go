package metrics

import "github.com/prometheus/client_golang/prometheus"

// The names of all metrics of a node, beside those of the Go runtime and the
// process. Units are base units; counters end in _total and begin at 0 when the
// process starts. Labels are bounded: no number, no Call-ID, no account.
const (
	// BuildInfo is 1, with the version of the build and of Go.
	BuildInfo = "tandem_build_info"

	// CallsActive is the calls that this node serves, in whatever state.
	CallsActive = "tandem_calls_active"
	// CallsHeld is the INVITEs that wait for their first commit.
	CallsHeld = "tandem_calls_held"
	// CallsTotal counts what became of calls on this node, by result.
	CallsTotal = "tandem_calls_total"
	// CallEventsTotal counts what happened to calls on the way, by event.
	CallEventsTotal = "tandem_call_events_total"
	// RefusedEarlyTotal counts what this node refused by itself before the log,
	// by reason.
	RefusedEarlyTotal = "tandem_refused_early_total"

	// SIPRequestsTotal counts requests, by method and direction.
	SIPRequestsTotal = "tandem_sip_requests_total"
	// SIPResponsesTotal counts responses, by class of status and direction.
	SIPResponsesTotal = "tandem_sip_responses_total"
	// SIPRetransmissionsTotal counts messages that came or left again, by direction.
	SIPRetransmissionsTotal = "tandem_sip_retransmissions_total"
	// SIPParseErrorsTotal counts received messages that were not taken, by reason.
	SIPParseErrorsTotal = "tandem_sip_parse_errors_total"
	// SIPRefusedTotal counts well-formed requests that were refused before call
	// control saw them, by status.
	SIPRefusedTotal = "tandem_sip_refused_total"
	// SIPDroppedTotal counts messages and connections that were dropped on purpose, by
	// reason.
	SIPDroppedTotal = "tandem_sip_dropped_total"
	// SIPTimeoutsTotal counts transactions without an end, by what was missing.
	SIPTimeoutsTotal = "tandem_sip_timeouts_total"
	// SIPTransactionsActive is the transactions alive, by role.
	SIPTransactionsActive = "tandem_sip_transactions_active"
	// SIPConnections is the open connections of all streams: TCP, TLS, WebSocket.
	SIPConnections = "tandem_sip_connections"

	// RTPSessionsActive is the calls whose media is relayed here.
	RTPSessionsActive = "tandem_rtp_sessions_active"
	// RTPPorts is the media ports that cannot be given, by state.
	RTPPorts = "tandem_rtp_ports"
	// RTPPacketsTotal counts relayed packets, RTP and RTCP.
	RTPPacketsTotal = "tandem_rtp_packets_total"
	// RTPBytesTotal counts relayed bytes of UDP payload.
	RTPBytesTotal = "tandem_rtp_bytes_total"
	// RTPDroppedTotal counts packets that were not relayed, by reason.
	RTPDroppedTotal = "tandem_rtp_dropped_packets_total"

	// GatewayChannels is the live calls of a gateway over the whole cluster, by
	// gateway and role. The first thousand of each role are shown.
	GatewayChannels = "tandem_gateway_channels"
	// GatewayUp is 0 while a routing gateway is disabled or out of service by its
	// own wish, else 1.
	GatewayUp = "tandem_gateway_up"
	// GatewayAnswers is 0 while a routing gateway does not answer OPTIONS from this
	// node at any of its addresses, else 1.
	GatewayAnswers = "tandem_gateway_answers"
	// GatewayChecksTotal counts OPTIONS to gateways, by result.
	GatewayChecksTotal = "tandem_gateway_checks_total"

	// StateRecords is the records of the state machine, by kind.
	StateRecords = "tandem_state_records"
	// StateIndex is the log index of the state.
	StateIndex = "tandem_state_index"
	// StateTime is log time, in seconds since 1970.
	StateTime = "tandem_state_time_seconds"
	// BlacklistEntries is the entries of the dynamic blacklist.
	BlacklistEntries = "tandem_blacklist_entries"
	// BlacklistEvictedTotal counts windows of the blacklist's counters that were
	// dropped to keep within their bounds.
	BlacklistEvictedTotal = "tandem_blacklist_evicted_windows_total"
	// ClusterCallsActive is the live calls of the whole cluster.
	ClusterCallsActive = "tandem_cluster_calls_active"
	// HashMismatchTotal counts checkpoints at which this node's state differed
	// from another's, and snapshots whose records did not hash to what was kept.
	// Anything but 0 is an alarm.
	HashMismatchTotal = "tandem_fsm_state_hash_mismatch_total"

	// Serving is 1 while this node takes calls: announced, and leased.
	Serving = "tandem_serving"
	// Draining is 1 while this node runs empty.
	Draining = "tandem_draining"
	// LeaseHeld is 1 while this node may speak to the outside.
	LeaseHeld = "tandem_lease_held"
	// LeaseLeftSeconds is how long the lease lasts without a further answer.
	LeaseLeftSeconds = "tandem_lease_left_seconds"
	// LeasePingsTotal counts the pings of leases, by result.
	LeasePingsTotal = "tandem_lease_pings_total"
	// Addresses is the service addresses on this node, by state.
	Addresses = "tandem_addresses"
	// TakeoverEventsTotal counts what happened to lives and addresses, by event.
	TakeoverEventsTotal = "tandem_takeover_events_total"

	// RaftIsLeader is 1 on the leader.
	RaftIsLeader = "tandem_raft_is_leader"
	// RaftHasLeader is 1 while this node knows a leader.
	RaftHasLeader = "tandem_raft_has_leader"
	// RaftTerm is raft's term.
	RaftTerm = "tandem_raft_term"
	// RaftCommitIndex is the newest committed index that this node knows.
	RaftCommitIndex = "tandem_raft_commit_index"
	// RaftAppliedIndex is the newest index that this node has applied.
	RaftAppliedIndex = "tandem_raft_applied_index"
	// RaftSnapshotIndex is the index of this node's newest snapshot.
	RaftSnapshotIndex = "tandem_raft_snapshot_index"
	// RaftFollowerLag is the entries that a peer is behind this node's commit
	// index, by peer.
	RaftFollowerLag = "tandem_raft_follower_lag_entries"
	// RaftLeaderChangesTotal counts changes of leadership that this node saw.
	RaftLeaderChangesTotal = "tandem_raft_leader_changes_total"
	// RaftEntriesTotal counts log entries that this node proposed as leader.
	RaftEntriesTotal = "tandem_raft_entries_total"
	// RaftEntryCommandsTotal counts the commands in them.
	RaftEntryCommandsTotal = "tandem_raft_entry_commands_total"
	// RaftMutesTotal counts how often this leader fell silent because its disk hung.
	RaftMutesTotal = "tandem_raft_mutes_total"
	// CommandsTotal counts commands that this node proposed, by result.
	CommandsTotal = "tandem_commands_total"
	// ClockAlarmsTotal counts how often this node's wall clock was off the median.
	ClockAlarmsTotal = "tandem_clock_alarms_total"
	// DiskStalledSeconds is how long a write to the log hangs.
	DiskStalledSeconds = "tandem_disk_stalled_seconds"
	// GossipMembers is the nodes that gossip knows, by state.
	GossipMembers = "tandem_gossip_members"

	// CDRSequence is the sequence of the cluster's last CDR.
	CDRSequence = "tandem_cdr_sequence"
	// CDRMissing is the CDRs below it that this node still has to fill in.
	CDRMissing = "tandem_cdr_missing"
	// TransferSequence is the sequence of the ledger's last transfer.
	TransferSequence = "tandem_ledger_transfer_sequence"
	// OutboxDepth is the settlements that wait for a leader.
	OutboxDepth = "tandem_outbox_depth"
)

// metric describes one name.
type metric struct {
	name   string
	help   string
	kind   prometheus.ValueType
	labels []string
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// all describes every metric of this package, in the order of their names above.
func all() []metric {
	return []metric{
		{BuildInfo, "1, with the version of the build and of Go.", gauge, []string{"version", "go"}},

		{CallsActive, "Calls that this node serves.", gauge, nil},
		{CallsHeld, "INVITEs that wait for their first commit.", gauge, nil},
		{CallsTotal, "Calls, by what became of them.", counter, []string{"result"}},
		{CallEventsTotal, "What happened to calls on the way.", counter, []string{"event"}},
		{RefusedEarlyTotal, "Calls and packets refused before the log.", counter, []string{"reason"}},

		{SIPRequestsTotal, "SIP requests.", counter, []string{"method", "dir"}},
		{SIPResponsesTotal, "SIP responses, by class of status.", counter, []string{"class", "dir"}},
		{SIPRetransmissionsTotal, "SIP messages that came or left again.", counter, []string{"dir"}},
		{SIPParseErrorsTotal, "Received SIP messages that were not taken.", counter, []string{"reason"}},
		{SIPRefusedTotal, "Well-formed SIP requests refused before call control.", counter, []string{"status"}},
		{SIPDroppedTotal, "SIP messages and connections that were dropped on purpose.", counter, []string{"reason"}},
		{SIPTimeoutsTotal, "SIP transactions without an end.", counter, []string{"missing"}},
		{SIPTransactionsActive, "SIP transactions alive.", gauge, []string{"role"}},
		{SIPConnections, "Open connections of SIP: TCP, TLS, WebSocket.", gauge, nil},

		{RTPSessionsActive, "Calls whose media is relayed here.", gauge, nil},
		{RTPPorts, "Media ports that cannot be given.", gauge, []string{"state"}},
		{RTPPacketsTotal, "Relayed packets, RTP and RTCP.", counter, nil},
		{RTPBytesTotal, "Relayed bytes of UDP payload.", counter, nil},
		{RTPDroppedTotal, "Packets that were not relayed.", counter, []string{"reason"}},

		{GatewayChannels, "Live calls of a gateway over the whole cluster.", gauge, []string{"gateway", "role"}},
		{GatewayUp, "0 while a routing gateway is disabled or out of service by its own wish.", gauge, []string{"gateway"}},
		{GatewayAnswers, "0 while a routing gateway does not answer OPTIONS from this node.", gauge, []string{"gateway"}},
		{GatewayChecksTotal, "OPTIONS sent to gateways.", counter, []string{"result"}},

		{StateRecords, "Records of the state machine.", gauge, []string{"kind"}},
		{StateIndex, "Log index of the state.", gauge, nil},
		{StateTime, "Log time, in seconds since 1970.", gauge, nil},
		{BlacklistEntries, "Entries of the dynamic blacklist.", gauge, nil},
		{BlacklistEvictedTotal, "Windows of the blacklist's counters dropped to keep within their bounds.", counter, nil},
		{ClusterCallsActive, "Live calls of the whole cluster.", gauge, nil},
		{HashMismatchTotal, "Checkpoints at which this node's state differed from another's, or from its own records.", counter, nil},

		{Serving, "1 while this node takes calls: the cluster knows it, and it holds its lease.", gauge, nil},
		{Draining, "1 while this node runs empty.", gauge, nil},
		{LeaseHeld, "1 while this node may speak to the outside.", gauge, nil},
		{LeaseLeftSeconds, "How long this node's lease lasts without a further answer.", gauge, nil},
		{LeasePingsTotal, "Pings of leases: sent by this node, answered or refused by it.", counter, []string{"result"}},
		{Addresses, "Service addresses on this node.", gauge, []string{"state"}},
		{TakeoverEventsTotal, "What happened to lives and addresses of nodes, as this node saw it.", counter, []string{"event"}},

		{RaftIsLeader, "1 on the leader.", gauge, nil},
		{RaftHasLeader, "1 while this node knows a leader.", gauge, nil},
		{RaftTerm, "Raft's term.", gauge, nil},
		{RaftCommitIndex, "Newest committed index that this node knows.", gauge, nil},
		{RaftAppliedIndex, "Newest index that this node has applied.", gauge, nil},
		{RaftSnapshotIndex, "Index of this node's newest snapshot.", gauge, nil},
		{RaftFollowerLag, "Entries that a peer is behind this node's commit index.", gauge, []string{"peer"}},
		{RaftLeaderChangesTotal, "Changes of leadership that this node saw.", counter, nil},
		{RaftEntriesTotal, "Log entries that this node proposed as leader.", counter, nil},
		{RaftEntryCommandsTotal, "Commands in the log entries that this node proposed as leader.", counter, nil},
		{RaftMutesTotal, "How often this leader fell silent because its disk hung.", counter, nil},
		{CommandsTotal, "Commands that this node proposed.", counter, []string{"result"}},
		{ClockAlarmsTotal, "How often this node's wall clock was off the median.", counter, nil},
		{DiskStalledSeconds, "How long a write to the log hangs.", gauge, nil},
		{GossipMembers, "Nodes that gossip knows.", gauge, []string{"state"}},

		{CDRSequence, "Sequence of the cluster's last CDR.", gauge, nil},
		{CDRMissing, "CDRs that this node still has to fill in.", gauge, nil},
		{TransferSequence, "Sequence of the ledger's last transfer.", gauge, nil},
		{OutboxDepth, "Settlements that wait for a leader.", gauge, nil},
	}
}
