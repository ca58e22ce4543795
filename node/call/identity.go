package call

import (
	"slices"
	"strconv"
	"strings"

	"tandem/fsm"
	"tandem/fsm/number"
	"tandem/sip"
)

// maxIdentities bounds what is read and sent of each identity header; maxDiversions
// is the usual bound of forwardings.
const (
	maxIdentities = 2 // one sip and one tel URI (RFC 3325 section 9.1)
	maxDiversions = 5
)

// identity is what the caller's INVITE says about who calls. Nothing of it reaches
// the other leg as it came: what goes there is made anew of numbers (F023, F025),
// so that no header, however it is spelt or folded, takes names or addresses along.
type identity struct {
	private     bool     // he asks not to be shown
	privacy     string   // how
	asserted    []string // user parts
	preferred   []string
	remoteParty []string
	diversions  []diversion
	display     string       // of From
	called      string       // user part of To
	from, to    string       // digits that a signature speaks of
	signed      []sip.Header // Identity and its Date (RFC 8224)
}

// diversion is one forwarding before us (RFC 5806).
type diversion struct{ user, reason, counter, privacy string }

// keptHeaders are the headers of an INVITE that a survivor needs to send the call
// on as its owner would: those that pass, and those that say who calls.
func keptHeaders(in sip.Headers) sip.Headers {
	kept := sip.Headers{}
	for _, h := range in {
		if len(h.Value) <= maxHeader && (passes(h.Name) || identifies(h.Name) || extends(h.Name)) && len(kept) < maxPass {
			kept = append(kept, h)
		}
	}
	return kept
}

// chargingVector correlates the charging records of trusted networks (RFC 7315
// section 4.6); it goes on between them alone.
const chargingVector = "p-charging-vector"

// passes reports a header that goes on as it came.
func passes(name string) bool {
	return !strings.EqualFold(name, "Privacy") && len(sip.PassedHeaders(sip.Headers{{Name: name}})) == 1
}

// identifies reports a header that an identity is read from.
func identifies(name string) bool {
	switch strings.ToLower(name) {
	case "p-asserted-identity", "p-preferred-identity", "remote-party-id", "privacy", "diversion", "identity", "date",
		chargingVector:
		return true
	}
	return false
}

// extends reports a header that says what the caller's side can do.
func extends(name string) bool {
	switch strings.ToLower(name) {
	case "supported", "require", "session-expires", "min-se", "allow":
		return true
	}
	return false
}

// passedOn are the kept headers that go on as they came.
func passedOn(kept sip.Headers) sip.Headers {
	return slices.DeleteFunc(slices.Clone(kept), func(h sip.Header) bool { return !passes(h.Name) })
}

// readIdentity takes the identity out of an INVITE's headers.
func readIdentity(from, to string, headers sip.Headers) identity {
	id := identity{
		asserted: users(headers, "P-Asserted-Identity"), preferred: users(headers, "P-Preferred-Identity"),
		remoteParty: users(headers, "Remote-Party-ID"), diversions: readDiversions(headers),
		privacy: strings.ToLower(strings.Join(headers.All("Privacy"), ";")),
	}
	if a, err := sip.ParseAddress(from); err == nil {
		id.private, id.from, id.display = anonymous(a.URI), digitsOf(a.URI.User), bounded(a.Display)
	}
	if a, err := sip.ParseAddress(to); err == nil {
		id.to, id.called = digitsOf(a.URI.User), bounded(a.URI.User)
	}
	if asksPrivacy(id.privacy) || restricted(headers) {
		id.private = true
	}
	signatures := headers.All("Identity")
	for _, value := range signatures[:min(len(signatures), maxIdentities)] {
		id.signed = append(id.signed, sip.Header{Name: "Identity", Value: value})
	}
	if date := headers.Get("Date"); date != "" && len(signatures) > 0 {
		id.signed = append(id.signed, sip.Header{Name: "Date", Value: date})
	}
	return id
}

// choices are what the state machine may choose the numbers from.
func (id *identity) choices() fsm.Identity {
	choice := fsm.Identity{
		Display: id.display, To: id.called,
		RemoteParty: first(id.remoteParty), Asserted: first(id.asserted), Preferred: first(id.preferred),
	}
	if len(id.diversions) > 0 {
		choice.Diversion = id.diversions[0].user
	}
	return choice
}

// anonymous reports a URI that names nobody (RFC 3323 section 4.1.1.3).
func anonymous(u sip.URI) bool {
	return u.User == "" || strings.EqualFold(u.User, "anonymous") || strings.EqualFold(u.Host, "anonymous.invalid")
}

// asksPrivacy reads the values of Privacy (RFC 3323 section 4.2, RFC 3325 section 9.3).
func asksPrivacy(values string) bool {
	for value := range strings.FieldsFuncSeq(values, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch value {
		case "id", "user", "header", "session":
			return true
		}
	}
	return false
}

// restricted reports that Remote-Party-ID asks for privacy.
func restricted(headers sip.Headers) bool {
	for _, value := range headers.List("Remote-Party-ID") {
		if a, err := sip.ParseAddress(value); err == nil {
			if p, ok := a.Param("privacy"); ok && !strings.EqualFold(p, "off") {
				return true
			}
		}
	}
	return false
}

// users are the user parts of a header's entries.
func users(headers sip.Headers, name string) (list []string) {
	for _, value := range headers.List(name) {
		a, err := sip.ParseAddress(value)
		if err != nil || a.URI.User == "" || len(a.URI.User) > maxRaw {
			continue
		}
		if list = append(list, a.URI.User); len(list) == maxIdentities {
			break
		}
	}
	return list
}

func readDiversions(headers sip.Headers) (list []diversion) {
	for _, value := range headers.List("Diversion") {
		a, err := sip.ParseAddress(value)
		if err != nil || a.URI.User == "" || len(a.URI.User) > maxRaw {
			continue
		}
		d := diversion{user: a.URI.User}
		d.reason, _ = a.Param("reason")
		d.counter, _ = a.Param("counter")
		d.privacy, _ = a.Param("privacy")
		if list = append(list, d); len(list) == maxDiversions {
			break
		}
	}
	return list
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// bounded drops what is too long to be a number.
func bounded(user string) string {
	if len(user) > maxRaw {
		return ""
	}
	return user
}

// digitsOf is a number in the form in which two are compared.
func digitsOf(user string) string {
	n, err := number.Normalise(user)
	if err != nil {
		return ""
	}
	return n.Digits
}

// present makes what an egress is told about the caller: From, and the headers that
// its profile wants.
func (c *Call) present(candidate *fsm.Candidate) (from string, headers sip.Headers) {
	id, in, out := readIdentity(c.invite.From, c.invite.To, c.pass), &c.plan.Profile, &candidate.Profile
	hide := id.private
	switch out.Privacy {
	case fsm.PrivacyID:
		hide = true
	case fsm.PrivacyNone:
		hide = false
	}
	told := out.Trusted || !hide || out.Privacy == fsm.PrivacyPass // who it is
	from = c.from(candidate.Caller)
	if hide && out.Privacy != fsm.PrivacyPass {
		from = c.from("")
	}
	if told {
		headers = c.identities(&id, candidate, hide)
	}
	switch {
	case out.Privacy == fsm.PrivacyPass && id.privacy != "":
		headers.Add("Privacy", id.privacy)
	case hide:
		headers.Add("Privacy", "id")
	}
	if out.Diversion && in.Trusted {
		for _, d := range id.diversions {
			headers.Add("Diversion", d.header(c.line.host()))
		}
	}
	if vector := c.pass.Get(chargingVector); vector != "" && in.Trusted && out.Trusted {
		headers.Add("P-Charging-Vector", vector)
	}
	// The signature is over these two numbers and the time; it stands as long as they
	// do (RFC 8224 section 4.1), and the world is told no more by it than by From.
	if len(id.signed) > 0 && !hide && id.from != "" && id.from == digitsOf(candidate.Caller) && id.to == digitsOf(candidate.Callee) {
		headers = append(headers, id.signed...)
	}
	return from, headers
}

// identities are the headers that name the caller.
func (c *Call) identities(id *identity, candidate *fsm.Candidate, hide bool) (headers sip.Headers) {
	out := &candidate.Profile
	auto := fsm.IdentityNone
	if out.Trusted && c.plan.Profile.Trusted {
		auto = fsm.IdentityPass
	}
	add := func(name string, mode, auto fsm.IdentityMode, came []string, params string) {
		if mode == fsm.IdentityAuto {
			mode = auto
		}
		switch {
		case mode == fsm.IdentityCaller && candidate.Caller != "":
			came = []string{candidate.Caller}
		case mode != fsm.IdentityPass:
			return
		}
		for _, user := range came {
			headers.Add(name, "<sip:"+safeUser(user)+"@"+c.line.host()+">"+params)
		}
	}
	add("P-Asserted-Identity", out.Asserted, auto, id.asserted, "")
	add("P-Preferred-Identity", out.Preferred, fsm.IdentityNone, id.preferred, "")
	privacy := ";privacy=off"
	if hide {
		privacy = ";privacy=full"
	}
	add("Remote-Party-ID", out.RemoteParty, fsm.IdentityNone, id.remoteParty, ";party=calling;screen=yes"+privacy)
	return headers
}

func (d diversion) header(host string) string {
	text := "<sip:" + safeUser(d.user) + "@" + host + ">"
	if isToken(d.reason) {
		text += ";reason=" + d.reason
	}
	if n, err := strconv.ParseUint(d.counter, 10, 8); err == nil {
		text += ";counter=" + strconv.FormatUint(n, 10)
	}
	if isToken(d.privacy) {
		text += ";privacy=" + d.privacy
	}
	return text
}

// isToken reports a token of RFC 3261 section 25.1, as far as parameters need it.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-.!%*_+`'~", r))
	})
}

// safeUser is a user part that may stand in a URI of ours.
func safeUser(user string) string {
	user, _, _ = strings.Cut(user, ";")
	return userPart(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.!~*'()&=+$,?/%#", r) {
			return r
		}
		return -1
	}, user))
}
