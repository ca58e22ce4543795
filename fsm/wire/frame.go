package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// MaxPayload bounds the payload of one frame. It is far above any entry or
// snapshot record, and far below what a damaged length could make a reader
// wait for.
const MaxPayload = 64 << 20

// checksumSize is the length of the crc32c that ends a frame.
const checksumSize = 4

// Frame is a record with what is needed to decode it.
type Frame struct {
	Version uint8  // of the record's layout, from 1
	Kind    uint8  // which record, in the numbering of the frame's user
	Payload []byte // the record; aliases the bytes that the frame was read from
}

// AppendFrame appends a frame to dst: version, kind, length of the payload (as
// Codec.Uint), payload, crc32c (Castagnoli, little endian) of all before it. A
// payload above MaxPayload is a bug of the caller: no reader would take it.
func AppendFrame(dst []byte, version, kind uint8, payload []byte) []byte {
	if len(payload) > MaxPayload {
		panic(fmt.Sprintf("wire: frame of %d bytes, at most %d", len(payload), MaxPayload))
	}
	start := len(dst)
	dst = append(dst, version, kind)
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	dst = append(dst, payload...)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// ReadFrame reads the frame at the start of b and returns what follows it. The
// versions 1 to newest are known. Errors: ErrTruncated, ErrTooLong,
// ErrMalformed, ErrChecksum, and ErrVersion for a frame that is intact.
func ReadFrame(b []byte, newest uint8) (f Frame, rest []byte, err error) {
	head, size, err := measure(b)
	if err != nil {
		return Frame{}, b, err
	}
	if len(b) < size {
		return Frame{}, b, fmt.Errorf("frame of %d bytes, %d there: %w", size, len(b), ErrTruncated)
	}
	body := b[:size-checksumSize]
	if want, got := binary.LittleEndian.Uint32(b[len(body):]), checksum(body); got != want {
		return Frame{}, b, fmt.Errorf("frame of %d bytes: crc32c %08x, computed %08x: %w", size, want, got, ErrChecksum)
	}
	f = Frame{Version: b[0], Kind: b[1], Payload: body[head:len(body):len(body)]}
	if f.Version == 0 || f.Version > newest {
		return Frame{}, b, fmt.Errorf("frame of kind %d: version %d, known are 1 to %d: %w", f.Kind, f.Version, newest, ErrVersion)
	}
	return f, b[size:], nil
}

// measure returns the length of a frame's head (version, kind, length) and of
// the whole frame. The head alone has to be there.
func measure(b []byte) (head, size int, err error) {
	if len(b) < 2 {
		return 0, 0, fmt.Errorf("frame head: %w", ErrTruncated)
	}
	length, n, err := uvarint(b[2:])
	if err != nil {
		return 0, 0, fmt.Errorf("frame length: %w", err)
	}
	if length > MaxPayload {
		return 0, 0, fmt.Errorf("frame of %d bytes, at most %d: %w", length, MaxPayload, ErrTooLong)
	}
	head = 2 + n
	return head, head + int(length) + checksumSize, nil
}

// checksum is crc32c. MakeTable returns the one table of the standard library,
// for which it uses the processor's instruction.
func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

// streamBuffer is how much a Writer collects before it writes, and how much a
// Reader asks for at once: large enough that a call to the system costs
// nothing per frame.
const streamBuffer = 64 << 10

// Writer writes frames to a stream. A stream that was cut between two frames
// looks complete: the user of a Writer ends it with a frame that says so.
type Writer struct {
	w   io.Writer
	buf []byte
	err error
}

// NewWriter returns a Writer on w. Flush has to be called at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// WriteFrame adds a frame. The payload may be reused when it returns. Once the
// stream has failed, every call returns that error.
func (w *Writer) WriteFrame(version, kind uint8, payload []byte) error {
	w.buf = AppendFrame(w.buf, version, kind, payload)
	if len(w.buf) < streamBuffer {
		return w.err
	}
	return w.Flush()
}

// Flush writes the frames that are still in the buffer.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
	return w.err
}

// Reader reads the frames of a stream.
type Reader struct {
	r      *bufio.Reader
	newest uint8
	frame  []byte
}

// NewReader returns a Reader on r, which it reads ahead of the frames. The
// versions 1 to newest are known.
func NewReader(r io.Reader, newest uint8) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, streamBuffer), newest: newest}
}

// Next returns the next frame, io.EOF behind the last one, or an error as
// ReadFrame does. The payload is valid until the next call.
func (r *Reader) Next() (Frame, error) {
	// Peek returns less than asked for at the end of the stream.
	head, err := r.r.Peek(2 + binary.MaxVarintLen64)
	if err != nil && (!errors.Is(err, io.EOF) || len(head) == 0) {
		return Frame{}, err
	}
	_, size, err := measure(head)
	if err != nil {
		return Frame{}, err
	}
	r.frame = r.frame[:0]
	for len(r.frame) < size { // grow with what came, not with what was announced
		have, step := len(r.frame), min(size-len(r.frame), streamBuffer)
		r.frame = slices.Grow(r.frame, step)[:have+step]
		n, err := io.ReadFull(r.r, r.frame[have:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Frame{}, fmt.Errorf("frame of %d bytes, %d there: %w", size, have+n, ErrTruncated)
		}
		if err != nil {
			return Frame{}, err
		}
	}
	f, _, err := ReadFrame(r.frame, r.newest)
	return f, err
}
