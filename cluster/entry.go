package cluster

import (
	"encoding/binary"
	"fmt"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
)

// A log entry has the layout that package fsm defines, so that whoever holds
// the log can replay it with nothing else. Envelopes are encoded by the node
// that proposes and copied as bytes by the leader.
const (
	// Bounds of an entry. Cost is per entry, not per command; beyond 32 KiB an
	// AppendEntries of 64 entries would pass 2 MiB (raft has no byte limit).
	maxEntryCommands = 128
	maxEntryBytes    = 32 << 10

	// MaxCommand bounds one command's body, which may fill an entry alone.
	MaxCommand = maxEnvelope - envelopeHead

	maxEnvelope  = fsm.MaxCommand
	envelopeHead = 256 // more than an envelope's head can take
	ageSize      = 8
)

// head describes what lies between an envelope's age and its body.
func (e *Envelope) head(c *wire.Codec) {
	c.String(&e.Node, maxName)
	c.Uint(&e.Incarnation)
	c.Uint(&e.Seq)
	c.Uint(&e.Low)
	c.Int(&e.Deadline)
}

// encodeEnvelope returns e in the layout of fsm.AppendCommand.
func encodeEnvelope(e Envelope) []byte {
	b := make([]byte, 0, envelopeHead+len(e.Body))
	c := wire.Encoder(binary.LittleEndian.AppendUint64(b, uint64(e.Age)))
	e.head(c)
	return append(c.Buffer(), e.Body...)
}

// decodeEnvelope reads an envelope. The body aliases b.
func decodeEnvelope(b []byte) (e Envelope, err error) {
	if len(b) < ageSize {
		return e, fmt.Errorf("envelope of %d bytes: %w", len(b), wire.ErrTruncated)
	}
	e.Age = time.Duration(binary.LittleEndian.Uint64(b))
	c := wire.Decoder(b[ageSize:])
	e.head(c)
	e.Body = c.Rest()
	if err := c.Err(); err != nil {
		return e, fmt.Errorf("envelope: %w", err)
	}
	return e, nil
}

// encodeEntry returns the bytes of an entry.
func encodeEntry(at int64, envelopes [][]byte) []byte {
	return fsm.AppendEntry(nil, fsm.Time(at), envelopes)
}

// decodeEntry reads an entry back.
func decodeEntry(b []byte) (at int64, envelopes []Envelope, err error) {
	t, commands, err := fsm.SplitEntry(b)
	if err != nil {
		return 0, nil, err
	}
	envelopes = make([]Envelope, len(commands))
	for i, b := range commands {
		if envelopes[i], err = decodeEnvelope(b); err != nil {
			return 0, nil, fmt.Errorf("command %d of %d: %w", i+1, len(commands), err)
		}
	}
	return int64(t), envelopes, nil
}
