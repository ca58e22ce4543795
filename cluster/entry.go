package cluster

import (
	"fmt"
	"time"

	"tandem/fsm/wire"
)

// The layout of a log entry: one frame (length, crc32c, version) that holds log
// time and the envelopes, each behind its length. Envelopes are encoded by the
// node that proposes and copied as bytes by the leader.
const (
	entryVersion = 1
	entryKind    = 1

	// Bounds of an entry. Cost is per entry, not per command; beyond 32 KiB an
	// AppendEntries of 64 entries would pass 2 MiB (raft has no byte limit).
	maxEntryCommands = 128
	maxEntryBytes    = 32 << 10

	// MaxCommand bounds one command's body, which may fill an entry alone.
	MaxCommand = 512 << 10

	maxEnvelope = MaxCommand + 512
)

// code describes an envelope in both directions.
func (e *Envelope) code(c *wire.Codec) {
	c.String(&e.Node, maxName)
	c.Uint(&e.Incarnation)
	c.Uint(&e.Seq)
	c.Uint(&e.Low)
	age := e.Age.Microseconds()
	c.Int(&age)
	e.Age = time.Duration(age) * time.Microsecond
	c.Int(&e.Deadline)
	c.Bytes(&e.Body, MaxCommand)
}

// encodeEnvelope returns the bytes of e.
func encodeEnvelope(e Envelope) []byte {
	c := wire.Encoder(make([]byte, 0, len(e.Body)+64))
	e.code(c)
	return c.Buffer()
}

// encodeEntry returns the bytes of an entry.
func encodeEntry(at int64, envelopes [][]byte) []byte {
	c := wire.Encoder(nil)
	c.Int(&at)
	wire.Slice(c, &envelopes, maxEntryCommands, func(c *wire.Codec, b *[]byte) { c.Bytes(b, maxEnvelope) })
	return wire.AppendFrame(nil, entryVersion, entryKind, c.Buffer())
}

// decodeEntry reads an entry back.
func decodeEntry(b []byte) (at int64, envelopes []Envelope, err error) {
	f, rest, err := wire.ReadFrame(b, entryVersion)
	if err != nil {
		return 0, nil, err
	}
	if len(rest) > 0 || f.Kind != entryKind {
		return 0, nil, fmt.Errorf("entry of kind %d with %d bytes behind it: %w", f.Kind, len(rest), wire.ErrMalformed)
	}
	c := wire.Decoder(f.Payload)
	c.Int(&at)
	wire.Slice(c, &envelopes, maxEntryCommands, func(c *wire.Codec, e *Envelope) {
		var raw []byte
		c.Bytes(&raw, maxEnvelope)
		d := wire.Decoder(raw)
		e.code(d)
		if err := d.Finish(); err != nil {
			c.Fail("envelope: %w", err)
		}
	})
	return at, envelopes, c.Finish()
}
