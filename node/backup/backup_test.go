package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/backup"
)

var key = []byte("the secret of the cluster")

// written is a backup with a state of some chunks and 2,500 rows.
func written(t *testing.T, state string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := backup.NewWriter(&out, key, backup.Head{ClusterID: "c1", Generation: 3, Node: "n1"})
	if _, err := io.WriteString(w.State(), state); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		cdrs, transfers := make([]fsm.CDR, 300), make([]fsm.Transfer, 200)
		for j := range cdrs {
			cdrs[j].Seq = uint64(i*300 + j + 1)
		}
		for j := range transfers {
			transfers[j].Seq = uint64(i*200 + j + 1)
		}
		if err := w.Rows(cdrs, transfers); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Close(42, time.Unix(1, 0).UTC())
	if err != nil || m.CDRs != 1500 || m.Transfers != 1000 || m.State != int64(len(state)) {
		t.Fatalf("%+v, %v", m, err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	state := strings.Repeat("0123456789", 20_000)
	file := written(t, state)
	var got string
	var cdrs, transfers uint64
	m, err := backup.Read(bytes.NewReader(file), key, backup.Sink{
		State: func(r io.Reader) error {
			b, err := io.ReadAll(r)
			got = string(b)
			return err
		},
		Rows: func(c []fsm.CDR, x []fsm.Transfer) error {
			if got != state {
				return errors.New("rows come before the state")
			}
			for _, r := range c {
				if cdrs++; r.Seq != cdrs {
					return fmt.Errorf("record %d comes as %d", r.Seq, cdrs)
				}
			}
			transfers += uint64(len(x))
			return nil
		},
	})
	if err != nil || cdrs != 1500 || transfers != 1000 || m.Index != 42 || m.Generation != 3 {
		t.Errorf("%d, %d, %+v, %v", cdrs, transfers, m, err)
	}
}

// A file that was cut or changed anywhere, or made with another secret, is refused.
func TestDamage(t *testing.T) {
	file := written(t, "state")
	read := func(b, key []byte) error {
		_, err := backup.Read(bytes.NewReader(b), key, backup.Sink{State: func(r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}})
		return err
	}
	if err := read(file, nil); err != nil {
		t.Fatal(err)
	}
	if err := read(file, []byte("another")); !errors.Is(err, backup.ErrForeign) {
		t.Error(err)
	}
	for n := 0; n < len(file); n += len(file)/50 + 1 {
		if err := read(file[:n], nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("cut at %d: %v", n, err)
		}
		bad := bytes.Clone(file)
		bad[n] ^= 0x10
		if err := read(bad, nil); err == nil {
			t.Errorf("bit of byte %d flipped: %v", n, err)
		}
	}
}

// A sink that fails ends the reading with its error.
func TestSinkFails(t *testing.T) {
	file := written(t, strings.Repeat("x", 1<<20))
	full := errors.New("full")
	for name, sink := range map[string]backup.Sink{
		"state": {State: func(io.Reader) error { return full }},
		"rows":  {Rows: func([]fsm.CDR, []fsm.Transfer) error { return full }},
	} {
		if _, err := backup.Read(bytes.NewReader(file), key, sink); !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
