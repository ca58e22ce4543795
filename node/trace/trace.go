// Package trace keeps the SIP messages of the last minutes, to show a call as a
// ladder or as a capture file.
//
// It records what passes the sockets into rings of fixed size: the oldest messages
// make room for new ones, nothing is allocated for a message, and nothing is kept
// on disk. It never decides what is worth keeping and never waits for a reader.
//
//	r := trace.New(trace.Config{})
//	r.Record(trace.Message{...})            // at each socket
//	messages := r.Find(trace.Query{CallIDs: ids}) // both legs, in order of time
//	trace.Ladder(w, messages)
//	trace.PCAP(w, messages)
package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Direction says which way a message went.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// Message is one SIP message as it passed a socket.
type Message struct {
	At        time.Time
	Direction Direction
	Transport string // "udp", "tcp", "tls", "ws"
	Local     netip.AddrPort
	Peer      netip.AddrPort
	Raw       []byte
}

// Config bounds the memory.
type Config struct {
	// Bytes is the size of all rings together; 0: 32 MiB, some minutes at 100
	// calls a second.
	Bytes int
}

// Bounds of a ring.
const (
	defaultBytes = 32 << 20
	minBytes     = 1 << 20
	// stripes keep the messages of different calls from waiting for each other.
	stripes = 16
	// maxRaw is what is kept of a message: the rest of a longer one is cut off.
	maxRaw = 16 << 10
	// maxFound bounds the messages of one call that are shown: the newest.
	maxFound = 2000
)

// Ring holds the newest messages. Its methods may be called from any goroutine.
type Ring struct {
	stripes [stripes]stripe
}

// New makes an empty ring.
func New(cfg Config) *Ring {
	size := max(cmp.Or(cfg.Bytes, defaultBytes), minBytes) / stripes
	r := &Ring{}
	for i := range r.stripes {
		r.stripes[i].slab = make([]byte, size)
	}
	return r
}

// Record keeps a message until newer ones need its place. It copies Raw.
func (r *Ring) Record(m Message) {
	id := callIDOf(m.Raw)
	if len(id) == 0 {
		return
	}
	s := &r.stripes[stripeOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(&m)
}

// Query selects the messages of a call.
type Query struct {
	CallIDs []string
	// Prefix selects, beside CallIDs, those that begin so; empty: none. Call control
	// names all legs towards gateways alike.
	Prefix string
}

func (q *Query) match(id []byte) bool {
	return q.Prefix != "" && bytes.HasPrefix(id, []byte(q.Prefix)) || slices.Contains(q.CallIDs, string(id))
}

// Find returns the messages that a query selects, oldest first. It reads the whole
// ring: some 10 ms.
func (r *Ring) Find(q Query) []Message {
	var found []Message
	for i := range r.stripes {
		s := &r.stripes[i]
		s.mu.Lock()
		found = s.find(found, &q)
		s.mu.Unlock()
	}
	return Newest(found)
}

// Newest puts messages, of several nodes perhaps, into the order of time and keeps
// as many as are shown.
func Newest(messages []Message) []Message {
	slices.SortStableFunc(messages, func(a, b Message) int { return a.At.Compare(b.At) })
	return messages[max(0, len(messages)-maxFound):]
}

// stripeOf spreads calls over the stripes.
func stripeOf(id []byte) uint32 {
	h := fnv.New32a()
	h.Write(id)
	return h.Sum32() % stripes
}

// stripe is a ring of records, each a header and a message. A record never wraps:
// what does not fit before the end of the slab goes to its beginning, and a record
// of length zero, or the end itself, says so.
type stripe struct {
	mu     sync.Mutex // guards what follows
	slab   []byte
	head   int // where the next record goes
	tail   int // the oldest record
	filled int // bytes from tail to head, padding included
}

// header is the fixed part of a record.
const header = 4 + 8 + 1 + 1 + 18 + 18 // length, time, direction, transport, local, peer

// put writes a record over the oldest ones.
func (s *stripe) put(m *Message) {
	raw := m.Raw[:min(len(m.Raw), maxRaw)]
	need := header + len(raw)
	if rest := len(s.slab) - s.head; rest < need { // not before the end
		s.room(rest)
		if rest >= 4 {
			binary.BigEndian.PutUint32(s.slab[s.head:], 0)
		}
		s.filled += rest
		s.head = 0
	}
	s.room(need)
	b := s.slab[s.head:s.head]
	b = binary.BigEndian.AppendUint32(b, uint32(need))
	b = binary.BigEndian.AppendUint64(b, uint64(m.At.UnixNano()))
	b = append(b, byte(m.Direction), byte(slices.Index(transports[:], m.Transport)))
	b = appendAddr(b, m.Local)
	b = appendAddr(b, m.Peer)
	copy(s.slab[s.head+len(b):], raw)
	s.head += need
	s.filled += need
	if s.head == len(s.slab) {
		s.head = 0
	}
}

// room drops the oldest records until n bytes are free behind head.
func (s *stripe) room(n int) {
	for len(s.slab)-s.filled < n {
		size := s.sizeAt(s.tail)
		s.filled -= size
		if s.tail += size; s.tail >= len(s.slab) {
			s.tail = 0
		}
	}
}

// sizeAt is the length of the record at a place; of padding it is all that is left.
func (s *stripe) sizeAt(at int) int {
	if len(s.slab)-at >= 4 {
		if n := binary.BigEndian.Uint32(s.slab[at:]); n != 0 {
			return int(n)
		}
	}
	return len(s.slab) - at
}

// find appends copies of the records that a query selects.
func (s *stripe) find(found []Message, q *Query) []Message {
	for at, left := s.tail, s.filled; left > 0; {
		size := s.sizeAt(at)
		if size >= header && binary.BigEndian.Uint32(s.slab[at:]) != 0 {
			record := s.slab[at : at+size]
			if q.match(callIDOf(record[header:])) {
				found = append(found, read(record))
			}
		}
		left -= size
		if at += size; at >= len(s.slab) {
			at = 0
		}
	}
	return found
}

// read makes a message of a record.
func read(record []byte) Message {
	m := Message{
		At:        time.Unix(0, int64(binary.BigEndian.Uint64(record[4:]))),
		Direction: Direction(record[12]), Local: readAddr(record[14:32]), Peer: readAddr(record[32:50]),
		Raw: bytes.Clone(record[header:]),
	}
	if int(record[13]) < len(transports) {
		m.Transport = transports[record[13]]
	}
	return m
}

// transports are the known ones; a record holds the place in this list.
var transports = [...]string{"udp", "tcp", "tls", "ws", "wss"}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), a.Port())
}

func readAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
}

// callIDOf finds the Call-ID of a message by its spelling (RFC 3261 section 7.3),
// without parsing the rest: what is shown here need not be a valid message.
func callIDOf(raw []byte) []byte {
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			return nil // the body begins
		}
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && len(name) <= 16 {
			switch name = bytes.TrimRight(name, " \t"); {
			case len(name) == 1 && name[0]|0x20 == 'i', len(name) == 7 && strings.EqualFold(string(name), "Call-ID"):
				return bytes.TrimSpace(value)
			}
		}
		raw = rest
	}
	return nil
}
