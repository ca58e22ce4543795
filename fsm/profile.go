package fsm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Profile says how call control treats the signalling and the media of a
// gateway's leg. Apply checks, keeps and copies it into plans, and reads only the
// sources of numbers. The zero value is the documented default of everything.
type Profile struct {
	// Trusted lets the gateway say who calls, and tells it (RFC 3325 section 2.3).
	Trusted    bool
	CallerFrom CallerSource // ingress
	CalleeFrom CalleeSource // ingress
	// Asserted, Preferred and RemoteParty say what becomes of P-Asserted-Identity,
	// P-Preferred-Identity and Remote-Party-ID on the way to an egress (F023).
	Asserted    IdentityMode
	Preferred   IdentityMode
	RemoteParty IdentityMode
	Privacy     PrivacyMode
	Diversion   bool // passed on, converted from History-Info where it must be

	Reliable       Support       // provisional responses (RFC 3262)
	Timer          Support       // session timers (RFC 4028)
	SessionExpires time.Duration // 0: system
	Redirect       RedirectMode  // egress
	Progress       time.Duration // longest wait for a 18x after a 100 (F020); 0: Ring
	Resend         string        // pauses between repetitions in ms (F019), see ParseResend
	Causes         string        // what failures become (F027), see ParseCauses

	Codecs    string // allowed ones in order of preference (F181), see ParseCodecs
	DTMF      DTMFMode
	NoFax     bool // T.38 is refused (F183)
	Interrupt InterruptMode

	// What hunting does after a gateway has got so far (F107).
	AfterRing    Switch
	AfterSDP     Switch
	AfterRTP     Switch
	AfterBusy    Switch
	AfterTimeout Switch
	// ErrorCodes are final answers on which hunting goes on besides the usual ones,
	// or, with a minus before them, not (F107): "404, -503".
	ErrorCodes string

	SRTP SRTPMode
}

// Switch is a yes or no that may be left to the system.
type Switch uint8

// The switches.
const (
	SwitchSystem Switch = iota
	SwitchOn
	SwitchOff
)

// Or returns the switch, or what the system says.
func (s Switch) Or(system bool) bool {
	if s == SwitchSystem {
		return system
	}
	return s == SwitchOn
}

// CallerSource says which part of an INVITE has the caller's number (F025).
type CallerSource uint8

// The sources of the caller.
const (
	CallerAuto CallerSource = iota // From, or P-Asserted-Identity where From is anonymous
	CallerFrom
	CallerDisplay // the display name of From
	CallerRemoteParty
	CallerAsserted
	CallerPreferred
)

// CalleeSource says which part of an INVITE has the callee's number (F025).
type CalleeSource uint8

// The sources of the callee.
const (
	CalleeURI CalleeSource = iota // the Request-URI
	CalleeTo
	CalleeDiversion
)

// IdentityMode says what becomes of an identity header (F023).
type IdentityMode uint8

// The identity modes.
const (
	IdentityAuto   IdentityMode = iota // P-Asserted-Identity: passed between trusted gateways; others: not sent
	IdentityNone                       // never sent
	IdentityPass                       // as it came
	IdentityCaller                     // the number that the call is sent with
)

// PrivacyMode says what becomes of the wish to stay anonymous (RFC 3323).
type PrivacyMode uint8

// The privacy modes.
const (
	PrivacyHonour PrivacyMode = iota // an untrusted gateway is told nobody
	PrivacyPass                      // the header goes on, the identity too
	PrivacyID                        // always asked for
	PrivacyNone                      // never asked for
)

// Support says how an extension is used on a leg.
type Support uint8

// The degrees of support.
const (
	SupportAuto     Support = iota // offered, used when the other side wants it
	SupportOff                     // neither offered nor used
	SupportRequired                // used wherever the other side can
)

// RedirectMode says what a 3xx of an egress means.
type RedirectMode uint8

// The redirect modes.
const (
	RedirectFail    RedirectMode = iota // a failure of the gateway
	RedirectRecurse                     // its Contacts are tried, by q
	RedirectPass                        // the caller gets it
)

// SRTPMode says whether the media of a gateway's leg is encrypted with keys in the
// SDP (RFC 4568).
type SRTPMode uint8

// The modes of SRTP.
const (
	SRTPPass SRTPMode = iota // as the other side has it, keys and all
	SRTPOff                  // RTP, whatever the other side has
	SRTPOn                   // SRTP, whatever the other side has
)

// DTMFMode says how a gateway wants digits (F184).
type DTMFMode uint8

// The forms of DTMF.
const (
	DTMFAuto DTMFMode = iota // as they come
	DTMFRTP                  // RFC 4733
	DTMFInfo                 // INFO with application/dtmf-relay
)

// InterruptMode says which missing RTP ends a call after RTP_TIMEOUT (F185).
type InterruptMode uint8

// The interrupt modes.
const (
	InterruptBoth InterruptMode = iota // when nothing comes from either side
	InterruptNone
	InterruptHere   // from this gateway
	InterruptThere  // from the other side
	InterruptEither // from one of the two
)

// Identity is who calls and who is called in the other words of an INVITE: user
// parts as received, empty where a header is missing. Which of them counts is the
// ingress's choice (F025).
type Identity struct {
	Display     string // of From
	RemoteParty string
	Asserted    string
	Preferred   string
	To          string
	Diversion   string
}

// named returns the numbers of an INVITE by the choice of its ingress. Where what
// was chosen is missing, the usual places count.
func (b *StartCall) named(p *Profile) (caller, callee string) {
	caller, callee = b.Caller, b.Callee
	other := ""
	switch p.CallerFrom {
	case CallerDisplay:
		other = b.Identity.Display
	case CallerRemoteParty:
		other = b.Identity.RemoteParty
	case CallerAsserted:
		other = b.Identity.Asserted
	case CallerPreferred:
		other = b.Identity.Preferred
	}
	if other != "" {
		caller = other
	}
	switch other = ""; p.CalleeFrom {
	case CalleeTo:
		other = b.Identity.To
	case CalleeDiversion:
		other = b.Identity.Diversion
	}
	if other != "" {
		callee = other
	}
	return caller, callee
}

// check reports the first field that cannot be used.
func (p *Profile) check() Result {
	if p.SessionExpires != 0 && p.SessionExpires < minSession || p.Progress < 0 {
		return invalid("profile", "session_expires below %s, or progress below 0", minSession)
	}
	if _, err := ParseResend(p.Resend); err != nil {
		return invalid("profile.resend", "%v", err)
	}
	if _, err := ParseCauses(p.Causes); err != nil {
		return invalid("profile.causes", "%v", err)
	}
	if _, err := ParseCodecs(p.Codecs); err != nil {
		return invalid("profile.codecs", "%v", err)
	}
	if _, _, err := ParseErrorCodes(p.ErrorCodes); err != nil {
		return invalid("profile.error_codes", "%v", err)
	}
	return Result{}
}

// minSession is the shortest session interval (RFC 4028 section 5).
const minSession = 90 * time.Second

// Bounds of the lists in a profile.
const (
	maxResend = 10 // repetitions
	maxCauses = 64
	maxCodecs = 32
)

// split cuts a list at its commas. Empty parts do not count.
func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// ParseResend reads the pauses between repetitions of a request over UDP, in
// milliseconds: "500, 1000, 2000". After the last one the transaction waits for
// its end. Empty: those of RFC 3261.
func ParseResend(text string) ([]time.Duration, error) {
	var pauses []time.Duration
	for _, part := range split(text) {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n < 100 || n > 32_000 {
			return nil, fmt.Errorf("pause %q: 100 to 32000 ms are possible", part)
		}
		pauses = append(pauses, time.Duration(n)*time.Millisecond)
	}
	if len(pauses) > maxResend {
		return nil, fmt.Errorf("%d pauses, at most %d are possible", len(pauses), maxResend)
	}
	return pauses, nil
}

// Cause is one line of a mapping of failures: what matches, and what is told
// instead. Zero fields match anything or change nothing.
type Cause struct {
	Status, ToStatus uint16 // SIP
	Q850, ToQ850     uint8
}

// ParseCauses reads a mapping of failure causes (F027): "503=480, 486=486;17,
// ;34=503" turns a 503 into a 480, gives 486 the Q.850 cause 17, and turns any
// failure of cause 34 into a 503. The first line that matches counts.
func ParseCauses(text string) ([]Cause, error) {
	var causes []Cause
	for _, part := range split(text) {
		from, to, ok := strings.Cut(part, "=")
		var c Cause
		var err error
		if c.Status, c.Q850, err = parseCause(from); err == nil && ok {
			c.ToStatus, c.ToQ850, err = parseCause(to)
		}
		if err != nil || !ok || c.Status|uint16(c.Q850) == 0 || c.ToStatus|uint16(c.ToQ850) == 0 {
			return nil, fmt.Errorf("cause %q: STATUS=STATUS, STATUS;Q850=STATUS;Q850 and parts of it are possible, 400 to 699 and 1 to 127", part)
		}
		causes = append(causes, c)
	}
	if len(causes) > maxCauses {
		return nil, fmt.Errorf("%d causes, at most %d are possible", len(causes), maxCauses)
	}
	return causes, nil
}

func parseCause(text string) (status uint16, cause uint8, err error) {
	first, second, _ := strings.Cut(text, ";")
	if first != "" {
		if status, err = parseFailure(first); err != nil {
			return 0, 0, err
		}
	}
	if second != "" {
		n, err := strconv.ParseUint(second, 10, 7)
		if err != nil || n == 0 {
			return 0, 0, fmt.Errorf("cause %q", second)
		}
		cause = uint8(n)
	}
	return status, cause, nil
}

// parseFailure reads a final status above 3xx.
func parseFailure(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 400 || n > 699 {
		return 0, fmt.Errorf("status %q: 400 to 699 are possible", text)
	}
	return uint16(n), nil
}

// ParseCodecs reads a list of encoding names (RFC 4855): "PCMA, G729, opus".
// Telephone events and comfort noise follow the codecs and are not named. Empty:
// all are allowed.
func ParseCodecs(text string) ([]string, error) {
	codecs := split(text)
	for _, name := range codecs {
		if strings.ContainsFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
		}) {
			return nil, fmt.Errorf("codec %q: an encoding name such as PCMA is possible", name)
		}
	}
	if len(codecs) > maxCodecs {
		return nil, fmt.Errorf("%d codecs, at most %d are possible", len(codecs), maxCodecs)
	}
	return codecs, nil
}

// ParseErrorCodes reads the final answers on which hunting goes on, and those on
// which it does not.
func ParseErrorCodes(text string) (on, stop []uint16, err error) {
	for _, part := range split(text) {
		number, minus := strings.CutPrefix(part, "-")
		n, err := parseFailure(number)
		if err != nil {
			return nil, nil, err
		}
		if minus {
			stop = append(stop, n)
		} else {
			on = append(on, n)
		}
	}
	if len(on)+len(stop) > maxCauses {
		return nil, nil, fmt.Errorf("%d codes, at most %d are possible", len(on)+len(stop), maxCauses)
	}
	return on, stop, nil
}
