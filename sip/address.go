package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"
)

// URI is a parsed sip, sips or tel URI. It keeps what routing and dialogs look
// at; where a URI has to be repeated exactly, its text is repeated.
type URI struct {
	Scheme string // lower case
	User   string // verbatim, with its parameters (";rn="); the number of a tel URI
	Host   string // IPv6 without brackets; "" for tel
	Port   int    // 0: none
	Params string // after the first ';' behind the host, verbatim
	text   string
	header bool // there are headers behind a '?'
}

// ParseURI parses a URI without angle brackets.
func ParseURI(s string) (URI, error) {
	var parsed sipgo.Uri
	if s == "" || len(s) > maxLine || !clean(s) {
		return URI{}, fmt.Errorf("%w: bad uri", ErrMessage)
	}
	if err := sipgo.ParseUri(s, &parsed); err != nil {
		return URI{}, fmt.Errorf("%w: uri %q: %v", ErrMessage, s, err)
	}
	u := URI{Scheme: strings.ToLower(parsed.Scheme), text: s}
	switch u.Scheme {
	case "sip", "sips":
		u.User, u.Host, u.Port = parsed.User, strings.Trim(parsed.Host, "[]"), parsed.Port
		if u.Host == "" || u.Port < 0 || u.Port > 65535 {
			return URI{}, fmt.Errorf("%w: uri %q has no usable host", ErrMessage, s)
		}
		behind := s[strings.LastIndexByte(s, '@')+1:]
		behind, _, u.header = strings.Cut(behind, "?")
		_, u.Params, _ = strings.Cut(behind, ";")
	case "tel":
		u.User, u.Params, _ = strings.Cut(parsed.Raw(), ";")
	}
	return u, nil
}

// String returns the text that was parsed.
func (u URI) String() string { return u.text }

// Param returns the value of a URI parameter and whether it is there.
func (u URI) Param(name string) (string, bool) { return param(u.Params, name) }

// Loose reports whether the URI is that of a loose router (RFC 3261 section 16.12).
func (u URI) Loose() bool {
	_, ok := u.Param("lr")
	return ok
}

// Transport returns the transport parameter, or "".
func (u URI) Transport() string {
	value, _ := u.Param("transport")
	return value
}

// AddrPort returns host and port when the host is an IP address, with the
// default port where none is given.
func (u URI) AddrPort() (netip.AddrPort, bool) {
	return hostPort(u.Host, u.Port, 5060)
}

// Address is a parsed name-addr or addr-spec: the value of From, To, Contact,
// P-Asserted-Identity and the like.
type Address struct {
	Display string // without quotes and escapes
	URI     URI
	Params  string // header parameters behind the URI, verbatim
}

// ParseAddress parses one name-addr or addr-spec.
func ParseAddress(value string) (Address, error) {
	display, uri, params, ok := splitAddress(value)
	if !ok {
		return Address{}, fmt.Errorf("%w: address %q", ErrMessage, value)
	}
	u, err := ParseURI(uri)
	if err != nil {
		return Address{}, err
	}
	return Address{Display: display, URI: u, Params: params}, nil
}

// Param returns the value of a header parameter and whether it is there.
func (a Address) Param(name string) (string, bool) { return param(a.Params, name) }

// splitAddress cuts a name-addr or addr-spec into its parts.
func splitAddress(value string) (display, uri, params string, ok bool) {
	value = strings.TrimSpace(value)
	open := indexOutsideQuotes(value, '<')
	if open < 0 {
		// RFC 3261 section 20.10: without brackets, parameters belong to the header.
		uri, params, _ = strings.Cut(value, ";")
		// So URIs with a comma or a question mark need them.
		uri = strings.TrimSpace(uri)
		return "", uri, params, isBareURI(uri) && !strings.ContainsAny(uri, "?,")
	}
	end := strings.IndexByte(value[open:], '>')
	if end < 0 {
		return "", "", "", false
	}
	display = strings.TrimSpace(value[:open])
	if !isDisplay(display) {
		return "", "", "", false
	}
	display = unquote(display)
	uri = value[open+1 : open+end]
	rest := strings.TrimSpace(value[open+end+1:])
	if rest != "" && rest[0] != ';' {
		return "", "", "", false
	}
	return display, uri, strings.TrimPrefix(rest, ";"), isBareURI(uri)
}

// isDisplay takes a quoted string, or words without quotes. RFC 3261 allows only
// tokens there; letters of other alphabets are taken besides, since phones send
// them, but nothing that could be read as the end of the name.
func isDisplay(s string) bool {
	if s == "" || s[0] != '"' {
		return !strings.ContainsAny(s, "\",;<>\\")
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// isBareURI reports whether s may be a URI: it has a scheme and no blanks.
func isBareURI(s string) bool {
	return strings.IndexByte(s, ':') > 0 && !strings.ContainsAny(s, "\"<> \t")
}

// unquote takes quotes, escapes and escaped control characters off a display name.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		if s[i] >= ' ' && s[i] != 0x7f {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// tagOf returns the tag parameter of a From or To value.
func tagOf(value string) (tag string, ok bool) {
	_, _, params, ok := splitAddress(value)
	if !ok {
		return "", false
	}
	tag, _ = param(params, "tag")
	return tag, true
}

// contactURI returns the URI of the first Contact.
func contactURI(headers Headers) (string, error) {
	contacts := appendList(nil, headers.Get("Contact"), 1)
	if len(contacts) == 0 {
		return "", ErrNoContact
	}
	a, err := ParseAddress(contacts[0])
	if err != nil {
		return "", err
	}
	return a.URI.String(), nil
}

// param finds one of several ;-separated parameters, regardless of case.
func param(params, name string) (value string, ok bool) {
	for params != "" {
		var p string
		if i := indexOutsideQuotes(params, ';'); i >= 0 {
			p, params = params[:i], params[i+1:]
		} else {
			p, params = params, ""
		}
		key, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// splitList splits header values at their commas, so that one entry a line and
// several entries in a line read alike (RFC 3261 section 7.3.1).
func splitList(values []string) (out []string) {
	for _, value := range values {
		out = appendList(out, value, maxList)
	}
	return out
}

// appendList appends the entries of one header value, until there are limit.
func appendList(out []string, value string, limit int) []string {
	for value != "" && len(out) < limit {
		var item string
		if i := indexComma(value); i >= 0 {
			item, value = value[:i], value[i+1:]
		} else {
			item, value = value, ""
		}
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// indexComma finds a comma outside of quotes and angle brackets.
func indexComma(s string) int {
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return i
		}
	}
	return -1
}

func indexOutsideQuotes(s string, want byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == want && !quoted:
			return i
		}
	}
	return -1
}

// hostPort makes an address of an IP literal and a port.
func hostPort(host string, port, fallback int) (netip.AddrPort, bool) {
	// RFC 5118 section 4.10: the grammar of RFC 3261 once put three colons before an
	// embedded IPv4 address.
	addr, err := netip.ParseAddr(strings.Replace(strings.Trim(host, "[]"), ":::", "::", 1))
	if err != nil || port < 0 || port > 65535 {
		return netip.AddrPort{}, false
	}
	if port == 0 {
		port = fallback
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// splitHostPort cuts "host:port" or "host"; port is 0 when there is none, -1 when it is no number.
func splitHostPort(s string) (host string, port int) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i:], ']') >= 0 {
		return s, 0
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return s[:i], -1
	}
	return s[:i], int(n)
}
