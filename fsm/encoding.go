package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tandem/fsm/wire"
)

// Versions of the layouts. A change of any layout takes a new one, behind a
// feature level, and the old one stays readable.
const (
	commandVersion  = 1
	entryVersion    = 1
	resultVersion   = 1
	cdrVersion      = 1
	transferVersion = 1
)

// frameKind numbers what frames of this package hold.
type frameKind uint8

const (
	frameEntry frameKind = 1 + iota
	frameResult
	frameCDR
	frameTransfer
)

// Bounds of an entry.
const (
	// MaxCommands is how many commands one entry holds: far above what group
	// commit packs, so that it is no second tuning knob.
	MaxCommands = 1024
	// MaxCommand is the length of one encoded command. The largest is a chunk of
	// rates; it has to pass through raft in one message.
	MaxCommand = 512 << 10
)

// ErrKind: an intact command of a kind that this binary does not know.
var ErrKind = errors.New("unknown kind of command")

// AppendBody appends a command's body with its administrative idempotency key:
// version, kind, key, fields. It is the part of a command that its author
// knows; who carries it adds origin, age and deadline. The error names the type
// and what is too long.
func AppendBody(dst []byte, key string, body Body) ([]byte, error) {
	b, ok := body.(content)
	if !ok {
		return dst, fmt.Errorf("encode command %T: %w", body, ErrKind)
	}
	c := wire.Encoder(append(dst, commandVersion, uint8(b.Kind())))
	c.String(&key, maxKey)
	b.fields(c)
	if err := c.Err(); err != nil {
		return dst, fmt.Errorf("encode %s: %w", b.Kind(), err)
	}
	return c.Buffer(), nil
}

// DecodeBody reads what [AppendBody] wrote. Nothing in the body aliases b.
func DecodeBody(b []byte) (key string, body Body, err error) {
	if len(b) < 2 {
		return "", nil, fmt.Errorf("decode command: %d bytes: %w", len(b), wire.ErrTruncated)
	}
	version, kind := b[0], Kind(b[1])
	if version == 0 || version > commandVersion {
		return "", nil, fmt.Errorf("decode command: version %d, known are 1 to %d: %w", version, commandVersion, wire.ErrVersion)
	}
	content := newBody(kind)
	if content == nil {
		return "", nil, fmt.Errorf("decode command: kind %d, known are 1 to %d: %w", kind, lastKind, ErrKind)
	}
	c := wire.Decoder(b[2:])
	c.String(&key, maxKey)
	content.fields(c)
	if err := c.Finish(); err != nil {
		return "", nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return key, content, nil
}

// ageSize is the length of the age at the start of an encoded command. It is
// fixed, so that a retry changes nothing but these bytes (ARCHITECTURE.md, rule 4).
const ageSize = 8

// AppendCommand appends an encoded command: age, origin, deadline and body. The
// error names the type and what is too long.
func AppendCommand(dst []byte, cmd *Command) ([]byte, error) {
	start := len(dst)
	c := wire.Encoder(binary.LittleEndian.AppendUint64(dst, uint64(cmd.Age)))
	cmd.Origin.fields(c)
	wire.Int(c, &cmd.Deadline)
	if err := c.Err(); err != nil {
		return dst, fmt.Errorf("encode command: %w", err)
	}
	out, err := AppendBody(c.Buffer(), cmd.Key, cmd.Body)
	if err != nil {
		return dst, err
	}
	if n := len(out) - start; n > MaxCommand {
		return dst, fmt.Errorf("encode %s: %d bytes, at most %d: %w", cmd.Body.Kind(), n, MaxCommand, wire.ErrTooLong)
	}
	return out, nil
}

// SetAge replaces the age in an encoded command, before it is sent again.
func SetAge(encoded []byte, age time.Duration) {
	binary.LittleEndian.PutUint64(encoded[:ageSize], uint64(age))
}

// DecodeCommand reads what [AppendCommand] wrote. Nothing in the command aliases
// b. Errors wrap those of package wire, or [ErrKind].
func DecodeCommand(b []byte) (Command, error) {
	if len(b) < ageSize {
		return Command{}, fmt.Errorf("decode command: %d bytes: %w", len(b), wire.ErrTruncated)
	}
	cmd := Command{Age: time.Duration(binary.LittleEndian.Uint64(b))}
	c := wire.Decoder(b[ageSize:])
	cmd.Origin.fields(c)
	wire.Int(c, &cmd.Deadline)
	if err := c.Err(); err != nil {
		return Command{}, fmt.Errorf("decode command: %w", err)
	}
	var err error
	if cmd.Key, cmd.Body, err = DecodeBody(c.Rest()); err != nil {
		return Command{}, err
	}
	return cmd, nil
}

func (o *Origin) fields(c *wire.Codec) {
	wire.Text(c, &o.Node, maxName)
	c.Uint(&o.Incarnation)
	c.Uint(&o.Seq)
	c.Uint(&o.Low)
}

// AppendEntry appends an entry of commands that are already encoded: a frame
// with crc32c around log time and the commands, each behind its length. It
// panics when there are more than [MaxCommands] or one is above [MaxCommand],
// which no replica could read back.
func AppendEntry(dst []byte, at Time, commands [][]byte) []byte {
	c := wire.Encoder(nil)
	wire.Int(c, &at)
	wire.Slice(c, &commands, MaxCommands, encodedCommand)
	if err := c.Err(); err != nil {
		panic("fsm: encode entry: " + err.Error())
	}
	return wire.AppendFrame(dst, entryVersion, uint8(frameEntry), c.Buffer())
}

func encodedCommand(c *wire.Codec, b *[]byte) { c.Bytes(b, MaxCommand) }

// SplitEntry checks an entry's frame and returns its log time and its commands,
// still encoded. They are copies.
func SplitEntry(b []byte) (at Time, commands [][]byte, err error) {
	payload, err := readFrame(b, frameEntry, entryVersion)
	if err != nil {
		return 0, nil, fmt.Errorf("decode entry: %w", err)
	}
	c := wire.Decoder(payload)
	wire.Int(c, &at)
	wire.Slice(c, &commands, MaxCommands, encodedCommand)
	if err := c.Finish(); err != nil {
		return 0, nil, fmt.Errorf("decode entry: %w", err)
	}
	return at, commands, nil
}

// DecodeEntry reads an entry. The error says which command could not be read,
// and why: a replica that gets one stops.
func DecodeEntry(b []byte) (Entry, error) {
	at, encoded, err := SplitEntry(b)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{At: at, Commands: make([]Command, len(encoded))}
	for i, b := range encoded {
		if e.Commands[i], err = DecodeCommand(b); err != nil {
			return Entry{}, fmt.Errorf("command %d of %d: %w", i+1, len(encoded), err)
		}
	}
	return e, nil
}

// AppendResult appends an encoded result, as it is sent to who proposed the
// command.
func AppendResult(dst []byte, r *Result) []byte {
	return appendFrame(dst, frameResult, resultVersion, r)
}

// DecodeResult reads what [AppendResult] wrote.
func DecodeResult(b []byte) (r Result, err error) {
	err = decodeFrame(b, frameResult, resultVersion, &r)
	return r, err
}

// AppendCDR appends an encoded record of a call, as the CDR store keeps it.
func AppendCDR(dst []byte, r *CDR) []byte { return appendFrame(dst, frameCDR, cdrVersion, r) }

// DecodeCDR reads what [AppendCDR] wrote.
func DecodeCDR(b []byte) (r CDR, err error) {
	err = decodeFrame(b, frameCDR, cdrVersion, &r)
	return r, err
}

// AppendTransfer appends an encoded transfer, as the CDR store keeps it.
func AppendTransfer(dst []byte, t *Transfer) []byte {
	return appendFrame(dst, frameTransfer, transferVersion, t)
}

// DecodeTransfer reads what [AppendTransfer] wrote.
func DecodeTransfer(b []byte) (t Transfer, err error) {
	err = decodeFrame(b, frameTransfer, transferVersion, &t)
	return t, err
}

// encode appends the bare fields of a record. The records of this package are
// bounded where they enter it, as commands, so that one above a bound is a bug
// here.
func encode(dst []byte, r fielder) []byte {
	c := wire.Encoder(dst)
	r.fields(c)
	if err := c.Err(); err != nil {
		panic(fmt.Sprintf("fsm: encode %T: %v", r, err))
	}
	return c.Buffer()
}

// decode reads the bare fields of a record, and nothing may follow them.
func decode(b []byte, r fielder) error {
	c := wire.Decoder(b)
	r.fields(c)
	return c.Finish()
}

// appendFrame appends a record in a frame of its own.
func appendFrame(dst []byte, kind frameKind, version uint8, r fielder) []byte {
	return wire.AppendFrame(dst, version, uint8(kind), encode(nil, r))
}

// decodeFrame reads a record that has a frame of its own.
func decodeFrame(b []byte, kind frameKind, version uint8, r fielder) error {
	payload, err := readFrame(b, kind, version)
	if err == nil {
		err = decode(payload, r)
	}
	if err != nil {
		return fmt.Errorf("decode %T: %w", r, err)
	}
	return nil
}

// readFrame returns the payload of the one frame that b holds.
func readFrame(b []byte, kind frameKind, newest uint8) ([]byte, error) {
	f, rest, err := wire.ReadFrame(b, newest)
	if err != nil {
		return nil, err
	}
	if f.Kind != uint8(kind) {
		return nil, fmt.Errorf("frame of kind %d, not %d: %w", f.Kind, kind, wire.ErrMalformed)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind the frame: %w", len(rest), wire.ErrMalformed)
	}
	return f.Payload, nil
}
