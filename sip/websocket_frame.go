package sip

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// Opcodes of RFC 6455 section 5.2.
const (
	webContinuation = 0x0
	webText         = 0x1
	webBinary       = 0x2
	webClose        = 0x8
	webPing         = 0x9
	webPong         = 0xa

	webFinal  = 0x80 // in the first byte
	webMasked = 0x80 // in the second byte

	// maxControl is the longest ping or close (RFC 6455 section 5.5).
	maxControl = 125
	// maxPongs bounds the pings that are answered from one read; the others are idle talk.
	maxPongs = 8
)

var errWebFrame = errors.New("sip: bad websocket frame")

// webFramer cuts the frames of a client into messages: each WebSocket message is
// one SIP message (RFC 7118 section 5). It holds at most one message and one read.
type webFramer struct {
	buf  []byte   // frames not taken yet
	text []byte   // payload of a message in fragments
	open bool     // a fragmented message has begun
	out  [][]byte // pongs
}

func (f *webFramer) space() []byte {
	const chunk = 4096
	f.buf = slices.Grow(f.buf, chunk)
	return f.buf[len(f.buf):cap(f.buf)]
}

func (f *webFramer) grown(n int) { f.buf = f.buf[:len(f.buf)+n] }

func (f *webFramer) partial() bool { return len(f.buf) > 0 || f.open }

func (f *webFramer) replies() [][]byte {
	out := f.out
	f.out = nil
	return out
}

// next returns the next message.
func (f *webFramer) next() ([]byte, error) {
	for {
		first, payload, err := f.frame()
		if err != nil || payload == nil {
			return nil, err
		}
		opcode, final := first&0xf, first&webFinal != 0
		if opcode >= webClose {
			if !final || len(payload) > maxControl {
				return nil, errWebFrame
			}
			if opcode == webClose {
				f.out = append(f.out, webFrame(webClose, payload))
				return nil, io.EOF
			}
			if opcode == webPing && len(f.out) < maxPongs {
				f.out = append(f.out, webFrame(webPong, payload))
			}
			continue
		}
		if (opcode == webContinuation) != f.open || len(f.text)+len(payload) > maxMessage {
			return nil, errWebFrame
		}
		if final && !f.open {
			if string(payload) == crlf+crlf { // RFC 5626 section 3.5.1, as some browsers' stacks send it
				f.out = append(f.out, webFrame(webText, []byte(crlf)))
				continue
			}
			return payload, nil
		}
		f.text, f.open = append(f.text, payload...), !final
		if final {
			msg := f.text
			f.text = nil
			return msg, nil
		}
	}
}

// frame takes the next frame off the buffer and unmasks it; payload is nil when
// more bytes are needed. A client has to mask, and may not use the reserved bits
// (RFC 6455 section 5.1).
func (f *webFramer) frame() (first byte, payload []byte, err error) {
	b := f.buf
	if len(b) < 2 {
		return 0, nil, nil
	}
	first = b[0]
	if first&0x70 != 0 || b[1]&webMasked == 0 || !slices.Contains([]byte{webContinuation, webText, webBinary, webClose, webPing, webPong}, first&0xf) {
		return 0, nil, errWebFrame
	}
	length, head := uint64(b[1]&^webMasked), 2
	switch {
	case length == 126 && len(b) >= 4:
		length, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case length == 127 && len(b) >= 10:
		length, head = binary.BigEndian.Uint64(b[2:]), 10
	case length >= 126:
		return 0, nil, nil
	}
	if length > maxMessage {
		return 0, nil, errWebFrame
	}
	end := head + 4 + int(length)
	if len(b) < end {
		return 0, nil, nil
	}
	mask := b[head : head+4]
	payload = b[head+4 : end]
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	f.buf = b[end:]
	return first, payload, nil
}

// webFrame wraps a message or a control payload; a server does not mask.
func webFrame(opcode byte, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+10)
	b = append(b, webFinal|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
