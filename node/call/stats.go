package call

import "sync/atomic"

// Counter names one of the counters of call control. Each call counts once
// among Placed, Refused and so on, and each refusal under one reason.
type Counter uint8

// The counters.
const (
	Received        Counter = iota // INVITEs that open a call
	Placed                         // plans that were dialled
	Answered                       // 200 sent to the caller
	Ended                          // answered calls that ended
	Canceled                       // given up by the caller
	Failed                         // no candidate could deliver
	Rejected                       // the callee's side said no
	NoAnswerCalls                  // rang too long
	RefusedState                   // refused by the state machine
	RefusedHeld                    // too many INVITEs wait for a leader
	RefusedLate                    // no leader within sip.hold
	RefusedBusy                    // lane, mailbox or machine full
	RefusedServing                 // draining, no lease, at max_calls
	RefusedMessage                 // malformed, unusable SDP, too many hops
	Voided                         // plans that came too late
	Unanswerable                   // AnswerCall did not commit in time
	Tries                          // INVITEs sent
	SkippedDown                    // candidates skipped because they are down from here
	Extended                       // slices granted
	ExtendRefused                  // no funds left
	CutCredit                      // ended because held money was used up
	CutLimit                       // ended at the longest call
	MediaTimeouts                  // ended because RTP stopped
	Outboxed                       // ends that had to wait in the outbox
	Adoptions                      // calls taken over
	Reaped                         // adopted calls without any proof of life
	Spared                         // the same, not ended because a parameter says so
	Displaced                      // re-INVITEs of calls whose address could not move
	Orphaned                       // calls whose legs were told of an end in place of a dead owner
	Refreshes                      // session refreshes sent
	SessionTimeouts                // ended because a session was not refreshed
	Strangers                      // in-dialog requests from where the peer is not
	Glares                         // 491 answered
	AckTimeouts                    // 2xx that were never acknowledged
	Strays                         // messages for calls that nobody knows
	Dropped                        // messages dropped because a mailbox was full
	Counters                       // number of counters
)

// Stats are the counters of call control since the start of the process.
type Stats struct{ counters [Counters]atomic.Uint64 }

// Get returns the value of a counter.
func (s *Stats) Get(c Counter) uint64 { return s.counters[c].Load() }

func (s *Stats) add(c Counter) { s.counters[c].Add(1) }
