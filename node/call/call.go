package call

import (
	"log/slog"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// phase is how far a call is, as its owner sees it.
type phase uint8

const (
	starting  phase = 1 + iota // StartCall is under way; nothing has been dialled
	hunting                    // candidates are being tried
	answering                  // a 200 is here, AnswerCall is under way
	talking                    // both sides know that they are connected
	ending                     // EndCall is under way
	over                       // only late messages are waited for
)

// Call is one call and its two legs. It belongs to its shard: step is the only
// way in, and the actions that step returns are the only way out (besides the
// media session, whose methods take effect at once and never wait).
type Call struct {
	id    fsm.CallID
	kit   *kit
	line  *Line
	phase phase
	epoch fsm.Epoch
	plan  fsm.Plan

	// The caller's INVITE.
	invite  sip.InviteState
	tx      *sip.ServerTx // nil: the transaction is not here
	replied bool          // some response went out
	final   bool          // a final one did
	pass    sip.Headers   // of the INVITE, that a survivor needs as well
	told    progress      // of 18x
	offer   []byte        // its SDP
	late    bool          // it had none: B's 200 has the offer, the caller's ACK the answer
	arrived time.Time

	legs      [2]leg
	tries     []*try
	next      place         // where hunting goes on
	best      outcome       // best final answer so far
	redirects []redirection // places that gateways have named
	followed  int           // how many were dialled
	contacts  []string      // of a 3xx that goes on to the caller
	winner    *try          // whose 200 is taken
	answer    *sip.Response
	since     time.Time // when the winner's 200 came: the call is charged from there
	session   *media.Session
	relayed   bool // RTP goes through us
	codec     string
	rtp       [2]netip.AddrPort // signalled media addresses, for the CDR

	grant  fsm.Grant
	last   bool // the grant is the last until the account is funded
	cutDue bool // the grant ends while ExtendCall is under way

	inflight *Command  // one command at a time (ARCHITECTURE.md, rule 4)
	queue    []Command // behind it
	end      *fsm.EndCall
	endSince time.Time
	waiting  []respond // go out once the end is committed
	outboxed bool
	early    *request      // a BYE that came while AnswerCall was under way
	wish     fsm.EndReason // a decision that came then
	update   *update
	probe    probe
	asks     int // requests of ours without a reply

	displaced bool // its service address is on no node; see displaced.go

	timers  timers
	actions []action
}

// kit is what all calls of a node share. It is read only.
type kit struct {
	cfg   *Config
	names names
	plain *fsm.Profile // that asks for nothing
}

// leg is what we know of one party once a dialog with it exists.
type leg struct {
	dialog   sip.Dialog
	open     bool   // the dialog is confirmed: it must be ended with a BYE
	acked    bool   // our 2xx was acknowledged; always true for a dialog that we opened
	hangup   bool   // send the BYE as soon as the ACK is here
	closed   bool   // a BYE was sent or received
	sent     []byte // newest SDP sent to it
	version  uint64 // its o= version
	received uint64 // o= version of the newest SDP from it
	changed  bool   // since the last commit
	answered uint32 // CSeq of its INVITE that our last 2xx was for; 0: not known
	update   bool   // it takes UPDATE
	timing   timing
	events   uint8        // payload type of its telephone events; 0: none
	keyTag   int          // of its a=crypto line
	profile  *fsm.Profile // of its gateway; nil: the ingress's
	source   media.Source
	remote   media.Remote
	reason   []sip.Header // of the BYE that waits
	moved    bool         // it has followed a displaced call
}

// newCall makes a call in which nothing has happened.
func newCall(id fsm.CallID, k *kit, l *Line) *Call {
	return &Call{id: id, kit: k, line: l}
}

// step lets one event happen at now and returns what is to be done about it.
func (c *Call) step(now time.Time, ev event) []action {
	c.actions = nil
	switch ev := ev.(type) {
	case invite:
		c.open(now, ev)
	case canceled:
		c.callerCanceled(now, ev)
	case request:
		c.request(now, ev)
	case response:
		c.response(now, ev)
	case reply:
		c.reply(now, ev)
	case stray:
		c.stray(ev.res)
	case committed:
		c.committed(now, ev)
	case stored:
		c.endStored(now, ev)
	case timeUp:
		c.timeUp(now, ev.timer)
	case mediaEvent:
		c.mediaEvent(now, ev.event)
	case adopted:
		c.adopt(now, ev)
	case endedElsewhere:
		c.endedElsewhere(now)
	case flush:
		c.flush(now)
	case orphaned:
		c.tellLegs(now, ev)
	case moved:
		c.drop()
	case funded:
		c.funded(now, ev.account)
	case hangup:
		c.decide(now, ev.reason)
	}
	return c.actions
}

func (c *Call) do(a action) { c.actions = append(c.actions, a) }

func (c *Call) count(n Counter) { c.do(count{n}) }

func (c *Call) note(level slog.Level, text string, args ...any) {
	c.do(note{level: level, text: text, args: args})
}

// propose commits a command, after the one that is under way.
func (c *Call) propose(lane cluster.Lane, body fsm.Body, since, until time.Time) {
	cmd := Command{Lane: lane, Body: body, Since: since, Until: until}
	if lane == cluster.LaneStart {
		cmd.Flow = c.invite.Source.Addr.Addr().String()
	}
	if c.inflight != nil {
		c.queue = append(c.queue, cmd)
		return
	}
	c.inflight = &cmd
	c.do(submit{cmd})
}

// committed takes the answer to the command under way and sends the next one.
func (c *Call) committed(now time.Time, ev committed) {
	cmd := c.inflight
	if cmd == nil {
		return
	}
	c.inflight = nil
	switch body := cmd.Body.(type) {
	case *fsm.StartCall:
		c.started(now, ev)
	case *fsm.AnswerCall:
		c.answered(now, ev)
	case *fsm.ExtendCall:
		c.extended(now, ev)
	case *fsm.EndCall:
		c.ended(now, body, ev)
	case *fsm.Progress:
		// Not waited for: a lost race or a stale epoch shows at the answer.
	}
	if c.inflight == nil && len(c.queue) > 0 {
		next := c.queue[0]
		c.queue = c.queue[1:]
		c.inflight = &next
		c.do(submit{next})
	}
}

// timeUp handles a timer that has run out. The shard has disarmed it.
func (c *Call) timeUp(now time.Time, t timer) {
	switch t {
	case timerHold:
		c.heldTooLong(now)
	case timerRing:
		c.ringTimeout(now)
	case timerAnswer:
		c.unanswerable(now)
	case timerAck:
		c.ackMissing(now)
	case timerExtend:
		c.extend(now)
	case timerCut:
		c.cut(now)
	case timerSilence:
		c.grantOver()
	case timerLongest:
		c.count(CutLimit)
		c.decide(now, fsm.EndLimit)
	case timerEnd:
		c.endLate(now)
	case timerSave:
		c.saveAgain(now)
	case timerProbe:
		c.probeDue(now)
	case timerMove:
		c.moveDue(now)
	case timerC:
		c.ringTimeout(now)
	case timerReliable:
		c.tellAgain(now)
	case timerSessionA:
		c.sessionDue(now, media.A)
	case timerSessionB:
		c.sessionDue(now, media.B)
	case timerLinger:
		c.asks, c.tries, c.legs[media.A].hangup = 0, nil, false
	}
}

// mediaEvent reacts to the media session. Silence alone is only reported: the
// relay raises EventTimeout where the policy says that it ends the call.
func (c *Call) mediaEvent(now time.Time, ev media.Event) {
	switch ev.Kind {
	case media.EventLearned:
		c.learned(now, ev.Side)
	case media.EventSilent:
		c.note(slog.LevelWarn, "no rtp", "leg", ev.Side)
	case media.EventAnySource:
		c.note(slog.LevelWarn, "rtp source believed without proof", "leg", ev.Side)
	case media.EventDigit:
		c.pressed(ev.Side, ev.Digit)
	case media.EventTimeout:
		if c.phase == talking && c.interrupted(now, ev.Side) {
			c.count(MediaTimeouts)
			c.decide(now, fsm.EndMediaTimeout)
		}
	}
}

// idle reports that nothing is left to wait for: the shard forgets the call.
func (c *Call) idle() bool {
	return c.phase == over && c.inflight == nil && len(c.queue) == 0 && c.asks == 0 && !c.dialling() && !c.pendingBye()
}

// dialling reports whether an INVITE of ours may still be answered.
func (c *Call) dialling() bool {
	for _, t := range c.tries {
		if !t.done {
			return true
		}
	}
	return false
}

// pendingBye reports whether a BYE waits for the caller's ACK.
func (c *Call) pendingBye() bool { return c.legs[media.A].hangup && !c.legs[media.A].closed }

// drop forgets a call that has another owner now, in silence (ARCHITECTURE.md, rule 6).
func (c *Call) drop() {
	if c.session != nil && c.phase < over {
		c.do(retire{c.session})
		c.session = nil
	}
	c.timers = timers{}
	c.queue, c.tries, c.asks = nil, nil, 0
	c.legs[media.A].hangup = false
	c.inflight = nil
	c.phase = over
}
