// Package wire is the one binary encoding of log entries, commands, results
// and snapshot records.
//
// A record is described once, in a function that works in both directions:
//
//	func (t *TopUp) wire(c *wire.Codec) {
//		wire.Text(c, &t.Account, maxAccount)
//		wire.Int(c, &t.Amount)
//		c.String(&t.Memo, maxMemo)
//	}
//
//	c := wire.Encoder(nil); t.wire(c)        // c.Buffer() is the record
//	c := wire.Decoder(record); t.wire(c)     // c.Finish() says whether it was one
//
// so an encoder and its decoder cannot drift apart. The encoding is canonical:
// equal values give equal bytes on every replica, and a decoder accepts only
// the bytes that an encoder writes (shortest integers, sorted maps, 0 or 1 for
// a bool, nothing left over). Decoded strings and slices never alias the input,
// which may be the log's own buffer.
//
// Frames put a version, a kind and a checksum around a record; see AppendFrame,
// ReadFrame and, for streams, Writer and Reader.
//
// The package never decides what a record means, and never does I/O beyond the
// io.Reader or io.Writer that it is given.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// What is wrong with bytes that cannot be decoded. Errors of this package wrap
// one of these and add where it was found.
var (
	// ErrTruncated: the bytes end before the value does.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed: bytes that no encoder writes.
	ErrMalformed = errors.New("malformed")
	// ErrTooLong: a text, list or frame is above its limit.
	ErrTooLong = errors.New("too long")
	// ErrChecksum: a frame was damaged.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrVersion: an intact frame of a version that this program does not know.
	ErrVersion = errors.New("unknown version")
)

// Codec either encodes, appending to a buffer, or decodes, consuming one. The
// first error sticks: every later operation does nothing, so descriptions of
// records need no error checks, and the values decoded up to there are not to
// be used. A Codec may be reused with Reset and then allocates nothing but
// what decoded values need. An encoder only reads the values that it is given, so
// that several may encode the same record at once.
type Codec struct {
	buf      []byte // encoding: all that was written; decoding: the whole input
	pos      int    // decoding: bytes consumed
	decoding bool
	err      error
}

// Encoder returns a Codec that appends to buf, which may be nil.
func Encoder(buf []byte) *Codec { return &Codec{buf: buf} }

// Decoder returns a Codec that consumes b. It never writes to b, and nothing
// that it decodes refers to b.
func Decoder(b []byte) *Codec { return &Codec{buf: b, decoding: true} }

// Reset starts again in the same direction: an encoder appends to b, a decoder
// consumes it.
func (c *Codec) Reset(b []byte) { c.buf, c.pos, c.err = b, 0, nil }

// Decoding reports the direction, for records whose layout depends on a value
// that a decoder has to check first.
func (c *Codec) Decoding() bool { return c.decoding }

// Buffer returns what an encoder has written behind what was in its buffer, or
// the whole input of a decoder. It is valid until the next operation.
func (c *Codec) Buffer() []byte { return c.buf }

// Len returns the number of bytes in an encoder's buffer, or the number that a
// decoder has not consumed yet.
func (c *Codec) Len() int { return len(c.buf) - c.pos }

// Rest returns what a decoder has not consumed yet. It aliases the input.
func (c *Codec) Rest() []byte { return c.buf[c.pos:] }

// Err returns the first error, or nil.
func (c *Codec) Err() error { return c.err }

// Finish returns the first error; bytes that a decoder has not consumed are
// one, because the encoding of a value has one length.
func (c *Codec) Finish() error {
	if c.err == nil && c.decoding && c.pos < len(c.buf) {
		c.Fail("%d bytes left over: %w", c.Len(), ErrMalformed)
	}
	return c.err
}

// Fail records an error, unless there is one already, and says where in the
// bytes it was found. Descriptions of records use it for values that have the
// right form and no meaning, such as an unknown kind of command.
func (c *Codec) Fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	at := c.pos
	if !c.decoding {
		at = len(c.buf)
	}
	c.err = fmt.Errorf("byte %d: %w", at, fmt.Errorf(format, args...))
}

// take consumes n bytes of the input, or fails and returns nil.
func (c *Codec) take(n int) []byte {
	if n > len(c.buf)-c.pos {
		c.Fail("%d bytes needed, %d left: %w", n, c.Len(), ErrTruncated)
		return nil
	}
	b := c.buf[c.pos : c.pos+n]
	c.pos += n
	return b
}

// U8 encodes one byte.
func (c *Codec) U8(v *uint8) {
	if c.err != nil {
		return
	}
	if !c.decoding {
		c.buf = append(c.buf, *v)
		return
	}
	if b := c.take(1); b != nil {
		*v = b[0]
	}
}

// Bool encodes false as 0 and true as 1.
func (c *Codec) Bool(v *bool) {
	var u uint8
	if *v && !c.decoding {
		u = 1
	}
	c.U8(&u)
	if u > 1 {
		c.Fail("bool is %d: %w", u, ErrMalformed)
	}
	if c.decoding && c.err == nil {
		*v = u == 1
	}
}

// Uint encodes an unsigned integer in 1 to 10 bytes of 7 bits, the low ones
// first. Only the shortest form is accepted.
func (c *Codec) Uint(v *uint64) {
	if c.err != nil {
		return
	}
	if !c.decoding {
		if *v < oneByte { // most are
			c.buf = append(c.buf, byte(*v))
		} else {
			c.buf = binary.AppendUvarint(c.buf, *v)
		}
		return
	}
	if u, n, err := uvarint(c.buf[c.pos:]); err != nil {
		c.Fail("integer: %w", err)
	} else {
		c.pos += n
		*v = u
	}
}

// oneByte is the first integer that takes two bytes.
const oneByte = 0x80

// uvarint reads the shortest form of an integer and returns its length.
func uvarint(b []byte) (u uint64, n int, err error) {
	u, n = binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, 0, ErrTruncated
	case n < 0: // more than 64 bits
		return 0, 0, ErrMalformed
	case n > 1 && b[n-1] == 0: // a shorter form exists
		return 0, 0, ErrMalformed
	}
	return u, n, nil
}

// Int encodes a signed integer as Uint does, with the sign in the lowest bit
// (zig-zag), so that small negative numbers stay short.
func (c *Codec) Int(v *int64) {
	u := uint64(*v)<<1 ^ uint64(*v>>63)
	c.Uint(&u)
	if c.decoding && c.err == nil {
		*v = int64(u>>1) ^ -int64(u&1)
	}
}

// U16 encodes as Uint does and refuses what does not fit 16 bits.
func (c *Codec) U16(v *uint16) {
	u := uint64(*v)
	c.ranged(&u, math.MaxUint16)
	if c.decoding {
		*v = uint16(u)
	}
}

// U32 encodes as Uint does and refuses what does not fit 32 bits.
func (c *Codec) U32(v *uint32) {
	u := uint64(*v)
	c.ranged(&u, math.MaxUint32)
	if c.decoding {
		*v = uint32(u)
	}
}

// ranged is Uint with an upper limit.
func (c *Codec) ranged(u *uint64, limit uint64) {
	was := *u
	c.Uint(u)
	if *u > limit {
		c.Fail("integer %d above %d: %w", *u, limit, ErrMalformed)
		*u = was
	}
}

// String encodes a text of at most limit bytes behind its length.
func (c *Codec) String(v *string, limit int) {
	if n := len(*v); !c.decoding && c.err == nil && n < oneByte && n <= limit { // most texts are written here
		c.buf = append(append(c.buf, byte(n)), *v...)
		return
	}
	n := c.length(len(*v), limit)
	if c.err != nil {
		return
	}
	if !c.decoding {
		c.buf = append(c.buf, *v...)
		return
	}
	*v = string(c.take(n))
}

// Bytes encodes at most limit bytes behind their length. Nil and empty are the
// same and are decoded as nil.
func (c *Codec) Bytes(v *[]byte, limit int) {
	n := c.length(len(*v), limit)
	if c.err != nil {
		return
	}
	if !c.decoding {
		c.buf = append(c.buf, *v...)
		return
	}
	*v = append([]byte(nil), c.take(n)...)
}

// Fixed encodes the bytes of b without a length; decoding overwrites them. It
// is for identifiers and hashes: c.Fixed(id[:]).
func (c *Codec) Fixed(b []byte) {
	if c.err != nil {
		return
	}
	if !c.decoding {
		c.buf = append(c.buf, b...)
		return
	}
	copy(b, c.take(len(b)))
}

// length encodes the length n of something that has at most limit elements,
// each of at least one byte, and returns the length read or written. A length
// that the remaining bytes cannot hold is refused before anything is allocated
// for it.
func (c *Codec) length(n, limit int) int {
	u := uint64(n)
	c.Uint(&u)
	switch {
	case c.err != nil:
		return 0
	case u > uint64(limit):
		c.Fail("length %d above %d: %w", u, limit, ErrTooLong)
		return 0
	case c.decoding && u > uint64(c.Len()):
		c.Fail("length %d, %d bytes left: %w", u, c.Len(), ErrTruncated)
		return 0
	}
	return int(u)
}
