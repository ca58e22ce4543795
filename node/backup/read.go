package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tandem/fsm"
	"tandem/fsm/wire"
)

// reader is a Read under way.
type reader struct {
	frames *wire.Reader
	sums   sums
	sink   Sink
	m      Manifest // as counted

	state     *io.PipeWriter // to the sink; nil: none yet, or no more
	stateDone chan error     // of the sink
	cdrs      []fsm.CDR      // not handed over yet
	transfers []fsm.Transfer
}

// read hands everything over and returns the manifest of the file.
func (r *reader) read() (m Manifest, err error) {
	defer func() {
		if err != nil && r.state != nil {
			r.state.CloseWithError(err)
			<-r.stateDone
		}
	}()
	for first := true; ; first = false {
		f, err := r.frames.Next()
		if errors.Is(err, io.EOF) {
			err = errors.New("it has no seal")
		}
		if err != nil {
			return m, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if first != (f.Kind == frameHead) {
			return m, fmt.Errorf("%w: a frame of kind %d stands where none belongs", ErrDamaged, f.Kind)
		}
		if f.Kind == frameSeal {
			if err := errors.Join(r.endState(), r.flush(0)); err != nil {
				return m, err
			}
			if err := json.Unmarshal(f.Payload, &m); err != nil {
				return m, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
			}
			return m, nil
		}
		r.sums.add(f.Kind, f.Payload)
		if err := r.take(f); err != nil {
			return m, err
		}
	}
}

// take handles one frame before the seal.
func (r *reader) take(f wire.Frame) error {
	switch f.Kind {
	case frameHead:
		return nil // the manifest repeats it
	case frameState:
		r.m.State += int64(len(f.Payload))
		return r.takeState(f.Payload)
	case frameCDR:
		c, err := fsm.DecodeCDR(f.Payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		r.cdrs = append(r.cdrs, c)
		r.m.CDRs++
	case frameTransfer:
		t, err := fsm.DecodeTransfer(f.Payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		r.transfers = append(r.transfers, t)
		r.m.Transfers++
	default:
		return fmt.Errorf("%w: frame of kind %d", ErrDamaged, f.Kind)
	}
	return r.flush(rowsAtOnce)
}

// takeState passes a part of the state on.
func (r *reader) takeState(part []byte) error {
	if r.sink.State == nil {
		return nil
	}
	if r.stateDone == nil {
		from, to := io.Pipe()
		r.state, r.stateDone = to, make(chan error, 1)
		go func() {
			err := r.sink.State(from)
			from.CloseWithError(errors.Join(err, errEnough))
			r.stateDone <- err
		}()
	}
	if r.state == nil {
		return fmt.Errorf("%w: state behind rows", ErrDamaged)
	}
	if _, err := r.state.Write(part); err != nil {
		r.state = nil
		return errors.Join(<-r.stateDone, err)
	}
	return nil
}

// errEnough ends the state's pipe when the sink has stopped reading.
var errEnough = errors.New("state was not read to its end")

// endState waits until the sink has the whole state.
func (r *reader) endState() error {
	if r.state == nil {
		return nil
	}
	err := r.state.Close()
	r.state = nil
	return errors.Join(err, <-r.stateDone)
}

// flush hands rows over when there are at least so many.
func (r *reader) flush(least int) error {
	n := len(r.cdrs) + len(r.transfers)
	if n == 0 || n < least {
		return nil
	}
	cdrs, transfers := r.cdrs, r.transfers
	r.cdrs, r.transfers = nil, nil
	if err := r.endState(); err != nil {
		return err
	}
	if r.sink.Rows == nil {
		return nil
	}
	return r.sink.Rows(cdrs, transfers)
}
