package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// column is the width of a ladder between two parties.
const column = 28

// maxParties bounds the columns of a ladder; the messages of others are left out.
const maxParties = 8

// Ladder writes a call as arrows between its parties, a line a message: seconds
// since the first one, who sent what to whom, and what the message was.
func Ladder(w io.Writer, messages []Message) error {
	out := bufio.NewWriter(w)
	parties := partiesOf(messages)
	if len(messages) == 0 || len(parties) < 2 {
		return out.Flush()
	}
	names := ""
	for _, p := range parties {
		names += fmt.Sprintf("%-*s", column, p)
	}
	fmt.Fprintf(out, "%8s %s\n", "", strings.TrimRight(names, " "))
	for i := range messages {
		m := &messages[i]
		from, to := ends(m)
		a, b := slices.Index(parties, from), slices.Index(parties, to)
		if a < 0 || b < 0 || a == b {
			continue
		}
		fmt.Fprintf(out, "%8.3f %s\n", m.At.Sub(messages[0].At).Seconds(), arrow(a, b, len(parties), Summary(m.Raw)))
	}
	return out.Flush()
}

// ends are who sent a message and who got it.
func ends(m *Message) (from, to netip.AddrPort) {
	if m.Direction == In {
		return m.Peer, m.Local
	}
	return m.Local, m.Peer
}

// partiesOf lists the parties in the order in which they appear, each node between
// those that it talks to.
func partiesOf(messages []Message) []netip.AddrPort {
	var parties []netip.AddrPort
	for i := range messages {
		from, to := ends(&messages[i])
		for _, p := range []netip.AddrPort{from, to} {
			if !slices.Contains(parties, p) && len(parties) < maxParties {
				parties = append(parties, p)
			}
		}
	}
	return parties
}

// arrow draws one message: |--- INVITE sdp ------>|
func arrow(from, to, parties int, text string) string {
	left, right := min(from, to), max(from, to)
	var b strings.Builder
	for i := range parties - 1 {
		b.WriteByte('|')
		switch {
		case i < left || i >= right:
			b.WriteString(strings.Repeat(" ", column-1))
		case i > left:
			b.WriteString(strings.Repeat("-", column-1))
		default:
			b.WriteString(shaft(text, column-1, from < to && i == right-1, from > to))
		}
	}
	b.WriteByte('|')
	return b.String()
}

// shaft is an arrow's part with its text.
func shaft(text string, width int, head, tail bool) string {
	text = " " + text[:min(len(text), width-6)] + " "
	line := "--" + text + strings.Repeat("-", width-2-len(text))
	if head {
		line = line[:width-1] + ">"
	}
	if tail {
		line = "<" + line[1:]
	}
	return line
}

// Summary is a message in a few words: its method or status, and whether it carries
// a session description.
func Summary(raw []byte) string {
	first, _, _ := bytes.Cut(raw, []byte{'\n'})
	words := strings.Fields(string(printable(bytes.TrimRight(first, "\r"))))
	var text string
	switch {
	case len(words) < 2:
		return "?"
	case strings.HasPrefix(words[0], "SIP/"):
		text = strings.Join(words[1:], " ")
	default:
		text = words[0]
	}
	if _, body, ok := bytes.Cut(raw, []byte("\r\n\r\n")); ok && bytes.HasPrefix(body, []byte("v=0")) {
		text += " sdp"
	}
	return text
}

// printable replaces what a terminal might obey.
func printable(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '.'
		}
		return r
	}, b)
}

// Text writes the messages in full, each under a line that says when and between whom.
func Text(w io.Writer, messages []Message) error {
	out := bufio.NewWriter(w)
	for i := range messages {
		m := &messages[i]
		from, to := ends(m)
		fmt.Fprintf(out, "%s  %s %s > %s\n\n", m.At.UTC().Format("2006-01-02T15:04:05.000Z"), m.Transport, from, to)
		for line := range bytes.Lines(m.Raw) {
			fmt.Fprintf(out, "  %s\n", printable(bytes.TrimRight(line, "\r\n")))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}
