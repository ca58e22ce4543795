package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"tandem/fsm/wire"
)

func TestFrameGolden(t *testing.T) {
	frame := wire.AppendFrame([]byte("before"), 1, 7, []byte("payload"))
	const want = "0107077061796c6f6164" + "cd436f5a"
	if got := hex.EncodeToString(frame[len("before"):]); got != want {
		t.Fatalf("frame %s, want %s", got, want)
	}
	f, rest, err := wire.ReadFrame(append(frame[len("before"):], 'x'), 1)
	if err != nil || f.Version != 1 || f.Kind != 7 || string(f.Payload) != "payload" || string(rest) != "x" {
		t.Errorf("%+v, %q, %v", f, rest, err)
	}
}

// TestFrameDamage: every cut is truncated, every changed bit is noticed.
func TestFrameDamage(t *testing.T) {
	frame := wire.AppendFrame(nil, 1, 7, []byte("payload"))
	for n := range frame {
		if _, _, err := wire.ReadFrame(frame[:n], 1); !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("the first %d bytes: error %v, want ErrTruncated", n, err)
		}
	}
	for bit := range 8 * len(frame) {
		damaged := bytes.Clone(frame)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, _, err := wire.ReadFrame(damaged, 1); err == nil {
			t.Errorf("bit %d of byte %d changed unnoticed", bit%8, bit/8)
		}
	}
}

func TestReadFrameRefuses(t *testing.T) {
	damaged := wire.AppendFrame(nil, 1, 7, []byte("payload"))
	damaged[4] ^= 1
	tests := []struct {
		name  string
		bytes []byte
		err   error
		text  string
	}{
		{"nothing", nil, wire.ErrTruncated, "frame head: truncated"},
		{"newer", wire.AppendFrame(nil, 3, 7, nil), wire.ErrVersion, "frame of kind 7: version 3, known are 1 to 2: unknown version"},
		{"version 0", wire.AppendFrame(nil, 0, 7, nil), wire.ErrVersion, "frame of kind 7: version 0, known are 1 to 2: unknown version"},
		{"damaged", damaged, wire.ErrChecksum, "frame of 14 bytes: crc32c 5a6f43cd, computed b55f28d4: checksum mismatch"},
		{"longer form of a length", []byte{1, 7, 0x80, 0}, wire.ErrMalformed, "frame length: malformed"},
		{"too long", []byte{1, 7, 0x81, 0x80, 0x80, 0x20}, wire.ErrTooLong, "frame of 67108865 bytes, at most 67108864: too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, rest, err := wire.ReadFrame(tt.bytes, 2)
			if !errors.Is(err, tt.err) || err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
			if !bytes.Equal(rest, tt.bytes) {
				t.Error("a refused frame was consumed")
			}
			_, streamed := wire.NewReader(bytes.NewReader(tt.bytes), 2).Next()
			if len(tt.bytes) == 0 {
				tt.err = io.EOF // where a stream may end
			}
			if !errors.Is(streamed, tt.err) {
				t.Errorf("from a stream: error %q, want %q", streamed, tt.err)
			}
		})
	}
}

func TestAppendFramePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a frame above MaxPayload was written")
		}
	}()
	wire.AppendFrame(nil, 1, 1, make([]byte, wire.MaxPayload+1))
}

// TestStream: frames of all sizes, read back in whatever pieces they arrive.
func TestStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(60<<10, 200<<10)), 0, 8).Draw(t, "sizes")
		var stream bytes.Buffer
		w := wire.NewWriter(&stream)
		for i, size := range sizes {
			if err := w.WriteFrame(1, uint8(i), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		whole := stream.Bytes()
		pieces := rapid.SampledFrom([]func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader,
		}).Draw(t, "pieces")

		r := wire.NewReader(pieces(bytes.NewReader(whole)), 1)
		for i, size := range sizes {
			f, err := r.Next()
			if err != nil || f.Kind != uint8(i) || len(f.Payload) != size || bytes.Count(f.Payload, []byte{byte(i)}) != size {
				t.Fatalf("frame %d of %d bytes: kind %d, %d bytes, %v", i, size, f.Kind, len(f.Payload), err)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("behind the last frame: %v", err)
		}

		// Cut anywhere, the stream ends in one error and nothing is invented.
		if len(whole) == 0 {
			return
		}
		cut := rapid.IntRange(0, len(whole)-1).Draw(t, "cut")
		r = wire.NewReader(pieces(bytes.NewReader(whole[:cut])), 1)
		read := 0
		for {
			f, err := r.Next()
			if err != nil {
				if !errors.Is(err, wire.ErrTruncated) && !errors.Is(err, io.EOF) {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				return
			}
			if read == len(sizes) || len(f.Payload) != sizes[read] {
				t.Fatalf("cut at %d: frame %d has %d bytes", cut, read, len(f.Payload))
			}
			read++
		}
	})
}

var errDisk = errors.New("disk is full")

type brokenDisk struct{ writes int }

func (d *brokenDisk) Write([]byte) (int, error) { d.writes++; return 0, errDisk }

func TestStreamErrorsStick(t *testing.T) {
	disk := &brokenDisk{}
	w := wire.NewWriter(disk)
	first := w.WriteFrame(1, 1, make([]byte, 1<<20))
	second := w.WriteFrame(1, 1, nil)
	if !errors.Is(first, errDisk) || !errors.Is(second, errDisk) || !errors.Is(w.Flush(), errDisk) || disk.writes != 1 {
		t.Errorf("errors %v, %v after %d writes", first, second, disk.writes)
	}
	if _, err := wire.NewReader(iotest.ErrReader(errDisk), 1).Next(); !errors.Is(err, errDisk) {
		t.Errorf("reader: %v", err)
	}
}

// FuzzFrame: a frame that is accepted is the one that AppendFrame writes.
func FuzzFrame(f *testing.F) {
	f.Add(wire.AppendFrame(nil, 1, 7, []byte("payload")))
	f.Add(wire.AppendFrame(nil, 2, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, rest, err := wire.ReadFrame(b, 2)
		streamed, streamErr := wire.NewReader(bytes.NewReader(b), 2).Next()
		if (err == nil) != (streamErr == nil) {
			t.Fatalf("error %v, from a stream %v", err, streamErr)
		}
		if err != nil {
			return
		}
		if again := append(wire.AppendFrame(nil, frame.Version, frame.Kind, frame.Payload), rest...); !bytes.Equal(again, b) {
			t.Errorf("read from %x, written as %x", b, again)
		}
		if !bytes.Equal(streamed.Payload, frame.Payload) {
			t.Error("the stream has another payload")
		}
	})
}
