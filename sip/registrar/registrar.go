// Package registrar reads and answers REGISTER (RFC 3261 section 10, RFC 3327,
// RFC 5626): which contacts a phone asks for, for how long, and what it is told.
//
// It keeps nothing and commits nothing: who may register, and where bindings live,
// is the caller's.
//
//	reg, refusal := registrar.Parse(req, registrar.Limits{})
//	if refusal != nil { tx.Respond(refusal.Response(req, tag)); return }
//	... // commit reg
//	tx.Respond(registrar.Answer(req, tag, bindings))
package registrar

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tandem/sip"
)

// Limits are what a registrar grants. The zero value has the defaults.
type Limits struct {
	Default  time.Duration // where nothing is asked for; 0: Longest
	Shortest time.Duration // 0: 60 s; below it 423 (RFC 3261 section 10.3, step 7)
	Longest  time.Duration // 0: 1 h; what is above gets this
	// Contacts is how many a REGISTER may carry; 0: 10.
	Contacts int
	// Own is the service address and what it is known as outside: a contact there
	// would have us call ourselves.
	Own []netip.Addr
}

const (
	defaultShortest = time.Minute
	defaultLongest  = time.Hour
	defaultContacts = 10
	// maxText bounds each text that is kept of a REGISTER.
	maxText = 512
	// maxPath bounds the proxies between a phone and us (RFC 3327).
	maxPath = 4
)

// Contact is one contact that a REGISTER asks for.
type Contact struct {
	URI      string
	Instance string        // +sip.instance (RFC 5626 section 4.1)
	RegID    uint32        // reg-id, from 1; 0: none
	Q        uint16        // thousandths; 1000 where nothing is said
	For      time.Duration // 0: it is to go
}

// Register is a REGISTER.
type Register struct {
	User      string // user part of To: the address of record
	Host      string
	CallID    string
	CSeq      uint32
	UserAgent string
	Path      []string  // URIs
	Contacts  []Contact // none: the phone asks what is known
	All       bool      // "*": all contacts are to go
	// Outbound: the phone keeps its flow open and wants to be called over it.
	Outbound bool
}

// Refusal is why a REGISTER cannot be served.
type Refusal struct {
	Status int
	Header []sip.Header
}

// Response makes the answer.
func (r *Refusal) Response(req *sip.Request, tag string) *sip.Response {
	res := req.Response(r.Status, tag)
	res.Headers = append(res.Headers, r.Header...)
	return res
}

func refuse(status int) *Refusal { return &Refusal{Status: status} }

// Parse reads a REGISTER.
func Parse(req *sip.Request, l Limits) (Register, *Refusal) {
	l.Shortest, l.Longest = cmp.Or(l.Shortest, defaultShortest), cmp.Or(l.Longest, defaultLongest)
	l.Default, l.Contacts = cmp.Or(l.Default, l.Longest), cmp.Or(l.Contacts, defaultContacts)
	to, err := sip.ParseAddress(req.To)
	if err != nil || to.URI.User == "" || to.URI.Scheme != "sip" && to.URI.Scheme != "sips" {
		return Register{}, refuse(400)
	}
	reg := Register{
		User: to.URI.User, Host: to.URI.Host, CallID: req.CallID, CSeq: req.CSeq, UserAgent: clip(req.Headers.Get("User-Agent")),
		Outbound: req.Headers.HasTag("Supported", "outbound"),
	}
	if len(reg.CallID) > maxText || len(reg.User) > maxText {
		return Register{}, refuse(400)
	}
	if refusal := reg.readPath(req); refusal != nil {
		return Register{}, refusal
	}
	asked, refusal := expires(req.Headers.Get("Expires"))
	if refusal != nil {
		return Register{}, refusal
	}
	values := req.Headers.List("Contact")
	if len(values) == 1 && strings.TrimSpace(values[0]) == "*" {
		if asked != 0 { // RFC 3261 section 10.3, step 6
			return Register{}, refuse(400)
		}
		reg.All = true
		return reg, nil
	}
	if len(values) > l.Contacts {
		return Register{}, refuse(403)
	}
	for _, value := range values {
		c, refusal := readContact(value, asked, &l)
		if refusal != nil {
			return Register{}, refusal
		}
		reg.Contacts = append(reg.Contacts, c)
	}
	return reg, nil
}

// readPath takes the proxies that the phone is behind. Without its leave they must
// not be used (RFC 3327 section 5.3).
func (r *Register) readPath(req *sip.Request) *Refusal {
	path := req.Headers.List("Path")
	if len(path) == 0 {
		return nil
	}
	if !req.Headers.HasTag("Supported", "path") {
		return &Refusal{Status: 420, Header: []sip.Header{{Name: "Unsupported", Value: "path"}}}
	}
	if len(path) > maxPath {
		return refuse(403)
	}
	for _, value := range path {
		a, err := sip.ParseAddress(value)
		if err != nil || len(value) > maxText {
			return refuse(400)
		}
		r.Path = append(r.Path, a.URI.String())
	}
	return nil
}

// unasked is an Expires that is not there.
const unasked = -1

// expires reads a number of seconds.
func expires(text string) (seconds int64, refusal *Refusal) {
	text = strings.TrimSpace(text)
	if text == "" {
		return unasked, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, refuse(400)
	}
	return int64(n), nil
}

func readContact(value string, asked int64, l *Limits) (Contact, *Refusal) {
	a, err := sip.ParseAddress(value)
	if err != nil || len(value) > maxText {
		return Contact{}, refuse(400) // "*" beside others is one of these
	}
	if a.URI.Scheme != "sip" && a.URI.Scheme != "sips" {
		return Contact{}, refuse(400)
	}
	if ip, err := netip.ParseAddr(a.URI.Host); err == nil {
		for _, own := range l.Own {
			if ip.Unmap() == own.Unmap() {
				return Contact{}, refuse(403)
			}
		}
		if ip.IsMulticast() || ip.IsUnspecified() {
			return Contact{}, refuse(403)
		}
	}
	c := Contact{URI: a.URI.String(), Q: 1000}
	if text, ok := a.Param("expires"); ok {
		n, refusal := expires(text)
		if refusal != nil {
			return Contact{}, refusal
		}
		asked = n
	}
	if text, ok := a.Param("q"); ok {
		q, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(q) || q < 0 || q > 1 {
			return Contact{}, refuse(400)
		}
		c.Q = uint16(math.Round(q * 1000))
	}
	if text, ok := a.Param("+sip.instance"); ok {
		if c.Instance = strings.Trim(text, `"`); strings.ContainsAny(c.Instance, `"\`) {
			return Contact{}, refuse(400)
		}
		if id, ok := a.Param("reg-id"); ok {
			n, err := strconv.ParseUint(id, 10, 31)
			if err != nil || n == 0 {
				return Contact{}, refuse(400)
			}
			c.RegID = uint32(n)
		}
	}
	var refusal *Refusal
	c.For, refusal = l.grant(asked)
	return c, refusal
}

// grant bounds how long a contact is kept.
func (l *Limits) grant(asked int64) (time.Duration, *Refusal) {
	d := time.Duration(asked) * time.Second
	switch {
	case asked == unasked:
		return l.Default, nil
	case asked == 0:
		return 0, nil
	case d < l.Shortest:
		return 0, &Refusal{Status: 423, Header: []sip.Header{{
			Name: "Min-Expires", Value: strconv.Itoa(int(l.Shortest / time.Second)),
		}}}
	}
	return min(d, l.Longest), nil
}

// Bound is a contact as it is known after a REGISTER.
type Bound struct {
	Contact
	Path []string
}

// Answer makes the 200 with all contacts that are known. For is what is left.
func Answer(req *sip.Request, tag string, bound []Bound) *sip.Response {
	res := req.Response(200, tag)
	for _, b := range bound {
		value := "<" + b.URI + ">;expires=" + strconv.FormatInt(int64(b.For/time.Second), 10)
		if b.Q < 1000 {
			value += ";q=0." + pad(b.Q)
		}
		if b.Instance != "" {
			value += `;+sip.instance="` + b.Instance + `"`
		}
		if b.RegID != 0 {
			value += ";reg-id=" + strconv.FormatUint(uint64(b.RegID), 10)
		}
		res.Headers.Add("Contact", value)
	}
	for _, p := range req.Headers.List("Path") {
		res.Headers.Add("Path", p)
	}
	if req.Headers.HasTag("Supported", "outbound") && len(bound) > 0 {
		res.Headers.Add("Require", "outbound") // RFC 5626 section 6
	}
	return res
}

// pad writes thousandths as three digits.
func pad(q uint16) string {
	text := strconv.Itoa(int(q))
	return strings.Repeat("0", 3-len(text)) + text
}

func clip(s string) string { return s[:min(len(s), maxText)] }
