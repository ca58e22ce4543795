package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Rewriting says what replaces the sender's addresses.
type Rewriting struct {
	Local     netip.AddrPort // our RTP address towards the receiver, Session.Local
	SessionID uint64         // o=: fixed for each leg
	Version   uint64         // o=: raised by one with each change
}

// Rewrite returns the description as the other leg gets it: o=, s=, c=, the
// relayed stream's port and a=rtcp are ours, ICE lines are gone, streams that are
// not relayed get port 0 (RFC 3264 section 6), and all else is kept byte for byte.
// A c= of 0.0.0.0 (hold) stays. Errors wrap ErrSDP or are ErrNoAudio.
func Rewrite(body []byte, rw Rewriting) ([]byte, error) {
	d, err := Parse(body)
	if err != nil {
		return nil, err
	}
	audio, err := d.Audio()
	if err != nil {
		return nil, err
	}
	lines, err := splitSDP(body)
	if err != nil {
		return nil, err
	}
	w := rewriter{Rewriting: rw, relayed: audio.Line}
	w.out.Grow(len(body) + 128)
	for _, line := range lines {
		w.line(line)
	}
	return w.out.Bytes(), nil
}

// rewriter writes a body line by line.
type rewriter struct {
	Rewriting
	relayed int // line of the relayed stream's m=
	section int // line of the present m=, 0 before the first
	out     bytes.Buffer
}

func (w *rewriter) line(l sdpLine) {
	host := w.Local.Addr()
	switch l.kind {
	case 'o':
		// The user name may tell who the caller is or what made the call.
		w.replace(l, fmt.Sprintf("o=- %d %d IN %s %s", w.SessionID, w.Version, family(host), host))
	case 's':
		w.replace(l, "s=-")
	case 'c':
		if old, err := parseConnection(l); err == nil && old.IsUnspecified() {
			w.out.Write(l.raw)
			return
		}
		w.replace(l, fmt.Sprintf("c=IN %s %s", family(host), host))
	case 'm':
		w.section = l.number
		port := uint16(0)
		if w.section == w.relayed {
			port = w.Local.Port()
		}
		w.replace(l, "m="+withPort(l.value, port))
	case 'a':
		w.attribute(l)
	default:
		w.out.Write(l.raw)
	}
}

func (w *rewriter) attribute(l sdpLine) {
	name, _ := l.attribute()
	switch {
	case name == "rtcp":
		// Elsewhere than in the relayed stream it would only show the sender's
		// address.
		if w.section == w.relayed {
			w.replace(l, "a=rtcp:"+strconv.Itoa(int(w.Local.Port())+1))
		}
	case isICE(name):
	default:
		w.out.Write(l.raw)
	}
}

// isICE names the attributes of RFC 8839: candidates would lead the media past
// the relay.
func isICE(name string) bool {
	switch name {
	case "candidate", "remote-candidates", "end-of-candidates":
		return true
	}
	return strings.HasPrefix(name, "ice-")
}

// replace writes text with the line's own end.
func (w *rewriter) replace(l sdpLine, text string) {
	w.out.WriteString(text)
	w.out.Write(l.raw[2+len(l.value):])
}

// withPort replaces the second field of an m= value. A port count goes too: we
// relay one pair.
func withPort(value string, port uint16) string {
	fields := strings.Fields(value)
	fields[1] = strconv.Itoa(int(port))
	return strings.Join(fields, " ")
}

// family returns the address type of RFC 8866 section 5.7.
func family(host netip.Addr) string {
	if host.Is4() {
		return "IP4"
	}
	return "IP6"
}
