package sip

import (
	"bytes"
	"errors"
	"strconv"
)

// What ends a byte stream: after either of them nobody knows where the next message
// begins.
var (
	errFraming = errors.New("sip: no message boundary in the stream")
	errTooLong = errors.New("sip: message too long")
)

// framer cuts a byte stream into messages by Content-Length (RFC 3261 section
// 18.3). It holds at most one message and what was read behind it.
type framer struct {
	buf     []byte
	scanned int // bytes of buf in which no empty line begins
	pings   int // double CRLFs seen between messages (RFC 5626 section 3.5.1)
}

// crlf is the pong of RFC 5626 section 3.5.1.
const crlf = "\r\n"

// replies returns a pong for each ping.
func (f *framer) replies() (pongs [][]byte) {
	for ; f.pings > 0; f.pings-- {
		pongs = append(pongs, []byte(crlf))
	}
	return pongs
}

// space returns room to read into; grown reports how much of it was filled.
func (f *framer) space() []byte {
	const chunk = 4096
	if cap(f.buf)-len(f.buf) < chunk {
		f.buf = append(make([]byte, 0, len(f.buf)+2*chunk), f.buf...)
	}
	return f.buf[len(f.buf):cap(f.buf)]
}

func (f *framer) grown(n int) { f.buf = f.buf[:len(f.buf)+n] }

// next returns the next whole message, or nil when more bytes are needed. The
// message is valid until the next call of space. With an error comes the head of
// the message that does not end, if there is one, to be refused.
func (f *framer) next() ([]byte, error) {
	f.skipLineEnds()
	i := bytes.Index(f.buf[f.scanned:], []byte("\r\n\r\n"))
	if i < 0 {
		if len(f.buf) > maxMessage {
			return nil, errTooLong
		}
		f.scanned = max(0, len(f.buf)-3)
		return nil, nil
	}
	head := f.scanned + i + 4
	length, err := contentLength(f.buf[:head])
	if err != nil {
		return f.buf[:head], err
	}
	if head+length > maxMessage {
		return f.buf[:head], errTooLong
	}
	f.scanned += i
	if len(f.buf) < head+length {
		return nil, nil
	}
	msg := f.buf[:head+length]
	f.buf, f.scanned = f.buf[head+length:], 0
	return msg, nil
}

// partial reports whether a message has begun and not ended.
func (f *framer) partial() bool { return len(f.buf) > 0 && f.buf[0] != '\r' && f.buf[0] != '\n' }

// skipLineEnds drops CRLFs between messages and counts pings among them.
func (f *framer) skipLineEnds() {
	if f.scanned > 0 {
		return // in the middle of a message
	}
	n := 0
	for n < len(f.buf) && (f.buf[n] == '\r' || f.buf[n] == '\n') {
		n++
	}
	if n == len(f.buf) && n < 4 {
		return // may become a ping
	}
	f.pings += n / 4
	f.buf = f.buf[n:]
}

// contentLength finds the one Content-Length of a header section. Without it, or
// with two, the end of the message is anyone's guess.
func contentLength(head []byte) (int, error) {
	length := -1
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\n"))
		head = rest
		name, value, ok := bytes.Cut(line, []byte(":"))
		name = bytes.TrimSpace(name)
		if !ok || !bytes.EqualFold(name, []byte("Content-Length")) && !bytes.EqualFold(name, []byte("l")) {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
		if err != nil || length >= 0 {
			return 0, errFraming
		}
		length = int(n)
	}
	if length < 0 {
		return 0, errFraming
	}
	return length, nil
}
