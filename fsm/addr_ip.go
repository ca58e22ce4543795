package fsm

import (
	"strconv"
	"strings"
)

// parseIP reads an IP address in its textual form. IPv4 comes back mapped. An
// IPv4 part of an IPv6 address is read, an IPv6 zone is not.
func parseIP(s string) (ip [16]byte, ok bool) {
	if !strings.Contains(s, ":") {
		return parse4(s)
	}
	head, tail, elided := strings.Cut(s, "::")
	if strings.Contains(tail, "::") {
		return ip, false
	}
	front, ok := parseGroups(head, !elided)
	if !ok {
		return ip, false
	}
	if !elided {
		return [16]byte(append(front, make([]byte, 16)...)), len(front) == 16
	}
	back, ok := parseGroups(tail, true)
	if !ok || len(front)+len(back) > 14 { // "::" stands for one group at least
		return ip, false
	}
	copy(ip[:], front)
	copy(ip[16-len(back):], back)
	return ip, true
}

// parseGroups reads groups of 16 bits with colons between them, the last of
// which may be an IPv4 address where the address ends there.
func parseGroups(s string, last bool) ([]byte, bool) {
	if s == "" {
		return nil, true
	}
	var b []byte
	words := strings.Split(s, ":")
	for i, word := range words {
		if last && i == len(words)-1 && strings.Contains(word, ".") {
			ip, ok := parse4(word)
			return append(b, ip[12:]...), ok && len(b) <= 12
		}
		v, err := strconv.ParseUint(word, 16, 16)
		if err != nil || len(word) > 4 || len(b) == 16 {
			return nil, false
		}
		b = append(b, byte(v>>8), byte(v))
	}
	return b, true
}

// parse4 reads four decimal numbers. A leading zero is refused: some programs
// take it for octal.
func parse4(s string) (ip [16]byte, ok bool) {
	words := strings.Split(s, ".")
	if len(words) != 4 {
		return ip, false
	}
	ip[10], ip[11] = 0xff, 0xff
	for i, word := range words {
		v, err := strconv.ParseUint(word, 10, 8)
		if err != nil || word[0] == '0' && len(word) > 1 {
			return ip, false
		}
		ip[12+i] = byte(v)
	}
	return ip, true
}

// appendIP appends the canonical text of an address (RFC 5952): IPv4 in dots,
// IPv6 with the first longest run of zero groups elided.
func appendIP(dst []byte, ip [16]byte) []byte {
	if is4(ip) {
		for i, b := range ip[12:] {
			if i > 0 {
				dst = append(dst, '.')
			}
			dst = strconv.AppendUint(dst, uint64(b), 10)
		}
		return dst
	}
	group := func(i int) uint64 { return uint64(ip[2*i])<<8 | uint64(ip[2*i+1]) }
	from, run := -1, 1 // a single zero group is not elided
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && group(j) == 0 {
			j++
		}
		if j-i > run {
			from, run = i, j-i
		}
		i = max(i, j)
	}
	for i := 0; i < 8; i++ {
		if i == from {
			dst = append(dst, ':', ':')
			if i += run; i == 8 {
				break
			}
		} else if i > 0 {
			dst = append(dst, ':')
		}
		dst = strconv.AppendUint(dst, group(i), 16)
	}
	return dst
}
