package sip

import "strings"

// clean reports whether s holds no control character but tab: a CR or LF would
// start a header of its own.
func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// cleanQuoted is clean for a header value: inside of quotes a backslash may stand
// before any character but a line end (RFC 3261 section 25.1, quoted-pair).
func cleanQuoted(s string) bool {
	if clean(s) {
		return true
	}
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\' && i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n':
			i++
		case c < ' ' && c != '\t' || c == 0x7f:
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 3261 section 25.1).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("-.!%*_+`'~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isTag takes what tokens hold and what is seen besides in real tags.
func isTag(s string) bool { return !strings.ContainsAny(s, " \t\"<>;,") }

// canonical returns the usual spelling of the names that the package looks at
// and the long form of compact names (RFC 3261 section 7.3.3 and the registry).
func canonical(name string) string {
	if len(name) == 1 {
		if long := compact(name[0] | 0x20); long != "" {
			return long
		}
		return name
	}
	for _, known := range [...]string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"} {
		if len(name) == len(known) && strings.EqualFold(name, known) {
			return known
		}
	}
	return name
}

func compact(c byte) string {
	switch c {
	case 'a':
		return "Accept-Contact"
	case 'b':
		return "Referred-By"
	case 'c':
		return "Content-Type"
	case 'd':
		return "Request-Disposition"
	case 'e':
		return "Content-Encoding"
	case 'f':
		return "From"
	case 'i':
		return "Call-ID"
	case 'j':
		return "Reject-Contact"
	case 'k':
		return "Supported"
	case 'l':
		return "Content-Length"
	case 'm':
		return "Contact"
	case 'o':
		return "Event"
	case 'r':
		return "Refer-To"
	case 's':
		return "Subject"
	case 't':
		return "To"
	case 'u':
		return "Allow-Events"
	case 'v':
		return "Via"
	case 'x':
		return "Session-Expires"
	case 'y':
		return "Identity"
	}
	return ""
}
