// Package backup is the file that a cluster can be restored from: its state at one
// log index, and the call records and transfers up to there.
//
// A file is a series of frames with a checksum each, and a seal at its end: a
// SHA-256 over everything, and the same keyed by the cluster's secret, so that a
// file that was cut, damaged or made by somebody else is never restored. The
// package never opens a file or a store, and decides nothing about what is lost.
//
//	w := backup.NewWriter(out, key, head)
//	_, err = io.Copy(w.State(), state)
//	err = w.Rows(cdrs, transfers)
//	manifest, err := w.Close(index, at)
//
//	manifest, err := backup.Read(in, key, backup.Sink{State: ..., Rows: ...})
package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
)

// version is the layout of a file.
const version = 1

// The frames of a file, in this order.
const (
	frameHead     = 1
	frameState    = 2
	frameCDR      = 3
	frameTransfer = 4
	frameSeal     = 5
)

// chunk is how much of the state is in one frame.
const chunk = 64 << 10

// Errors of a file.
var (
	// ErrDamaged means that the file is not what was written.
	ErrDamaged = errors.New("backup is damaged or incomplete")
	// ErrForeign means that it was not made by this cluster.
	ErrForeign = errors.New("backup is not of this cluster")
)

// Head says where a backup comes from.
type Head struct {
	ClusterID  string    `json:"cluster_id"`
	Generation uint32    `json:"generation"`
	Node       string    `json:"node"` // that wrote it
	Version    string    `json:"version"`
	Taken      time.Time `json:"taken"`
}

// Manifest says what a backup holds. Everything that was acknowledged behind
// Index is not in it.
type Manifest struct {
	Head
	Index     uint64    `json:"index"`    // of the newest entry in it
	At        time.Time `json:"log_time"` // of that entry
	State     int64     `json:"state_bytes"`
	CDRs      uint64    `json:"cdrs"` // rows
	Transfers uint64    `json:"transfers"`
	SHA256    string    `json:"sha256"`
	Seal      string    `json:"seal"` // HMAC-SHA-256 with the cluster's secret
}

// Writer writes a backup. Its methods are called in the order of the frames.
type Writer struct {
	frames *wire.Writer
	sums   sums
	m      Manifest
	err    error
}

// sums are what a file is sealed with.
type sums struct{ plain, keyed hash.Hash }

func newSums(key []byte) sums { return sums{sha256.New(), hmac.New(sha256.New, key)} }

// add takes a frame into the sums.
func (s sums) add(kind uint8, payload []byte) {
	for _, h := range []hash.Hash{s.plain, s.keyed} {
		h.Write([]byte{kind}) // hashes never fail
		h.Write(payload)
	}
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, key []byte, head Head) *Writer {
	b := &Writer{frames: wire.NewWriter(w), sums: newSums(key), m: Manifest{Head: head}}
	payload, err := json.Marshal(head)
	if b.err = err; err == nil {
		b.frame(frameHead, payload)
	}
	return b
}

func (b *Writer) frame(kind uint8, payload []byte) {
	if b.err != nil {
		return
	}
	b.sums.add(kind, payload)
	b.err = b.frames.WriteFrame(version, kind, payload)
}

// State returns where the state's bytes go.
func (b *Writer) State() io.Writer { return stateWriter{b} }

type stateWriter struct{ b *Writer }

func (s stateWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunk)
		s.b.frame(frameState, rest[:n])
		rest = rest[n:]
	}
	if s.b.err != nil {
		return 0, s.b.err
	}
	s.b.m.State += int64(len(p))
	return len(p), nil
}

// Rows adds records and transfers.
func (b *Writer) Rows(cdrs []fsm.CDR, transfers []fsm.Transfer) error {
	for i := range cdrs {
		b.frame(frameCDR, fsm.AppendCDR(nil, &cdrs[i]))
	}
	for i := range transfers {
		b.frame(frameTransfer, fsm.AppendTransfer(nil, &transfers[i]))
	}
	b.m.CDRs += uint64(len(cdrs))
	b.m.Transfers += uint64(len(transfers))
	return b.err
}

// Close seals the backup, whose state is that at an index and log time.
func (b *Writer) Close(index uint64, at time.Time) (Manifest, error) {
	b.m.Index, b.m.At = index, at
	b.m.SHA256, b.m.Seal = b.sums.texts()
	payload, err := json.Marshal(b.m)
	if b.err == nil {
		b.err = err
	}
	if b.err == nil {
		b.err = b.frames.WriteFrame(version, frameSeal, payload)
	}
	if b.err == nil {
		b.err = b.frames.Flush()
	}
	return b.m, b.err
}

func (s sums) texts() (plain, keyed string) {
	return hex.EncodeToString(s.plain.Sum(nil)), hex.EncodeToString(s.keyed.Sum(nil))
}

// rowsAtOnce is how many rows a Sink gets in one call.
const rowsAtOnce = 1000

// Sink takes what is in a backup. Both may be nil.
type Sink struct {
	// State reads the whole state. It is called once.
	State func(io.Reader) error
	Rows  func([]fsm.CDR, []fsm.Transfer) error
}

// Read reads a backup to its end and checks it. With a key it checks too that
// the cluster made it that has this secret. What a Sink has got is worth nothing
// unless Read returns without an error.
func Read(r io.Reader, key []byte, sink Sink) (Manifest, error) {
	in := &reader{frames: wire.NewReader(r, version), sums: newSums(key), sink: sink}
	m, err := in.read()
	if err != nil {
		return m, err
	}
	plain, keyed := in.sums.texts()
	switch {
	case plain != m.SHA256 || in.m.State != m.State || in.m.CDRs != m.CDRs || in.m.Transfers != m.Transfers:
		return m, fmt.Errorf("%w: its parts do not add up to its manifest", ErrDamaged)
	case key != nil && !hmac.Equal([]byte(keyed), []byte(m.Seal)):
		return m, fmt.Errorf("%w: its seal was not made with this cluster's secret", ErrForeign)
	}
	return m, nil
}
