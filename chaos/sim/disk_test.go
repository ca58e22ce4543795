package sim_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"tandem/chaos/sim"
)

// fill stores entries first to last, each by itself.
func fill(t *testing.T, v *sim.Volume, first, last uint64) {
	t.Helper()
	for i := first; i <= last; i++ {
		if err := v.StoreLog(&raft.Log{Index: i, Term: 1, Data: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func bounds(t *testing.T, v *sim.Volume) (low, high uint64) {
	t.Helper()
	low, err := v.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	if high, err = v.LastIndex(); err != nil {
		t.Fatal(err)
	}
	return low, high
}

func TestDiskKeepsWhatItAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		v := d.Open()
		fill(t, v, 1, 100)
		v.Set([]byte("k"), []byte("v"))
		v.SetUint64([]byte("n"), 7)
		if lost := d.Crash(); lost != 0 {
			t.Errorf("an honest disk lost %d writes", lost)
		}
		v = d.Open()
		if low, high := bounds(t, v); low != 1 || high != 100 {
			t.Errorf("entries %d to %d", low, high)
		}
		value, err := v.Get([]byte("k"))
		number, err2 := v.GetUint64([]byte("n"))
		if string(value) != "v" || number != 7 || err != nil || err2 != nil {
			t.Errorf("%q %d %v %v", value, number, err, err2)
		}
		if _, err := v.Get([]byte("other")); err == nil || err.Error() != "not found" {
			t.Errorf("a missing key: %v", err)
		}
		if err := v.DeleteRange(1, 90); err != nil {
			t.Fatal(err)
		}
		if low, high := bounds(t, v); low != 91 || high != 100 {
			t.Errorf("entries %d to %d", low, high)
		}
		if err := v.GetLog(90, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("a deleted entry: %v", err)
		}
	})
}

func TestLyingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		d.Set(sim.DiskFaults{SyncLag: time.Second, StoreDelay: 10 * time.Millisecond})
		dead := d.Open()
		fill(t, dead, 1, 200) // two seconds
		if lost := d.Crash(); lost != 100 {
			t.Errorf("lost %d writes, want the last second's 100", lost)
		}
		fill(t, dead, 200, 300) // neither lands nor fails
		if low, high := bounds(t, d.Open()); low != 1 || high != 100 {
			t.Errorf("entries %d to %d", low, high)
		}
	})
}

func TestKilledProcessKeepsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		d.Set(sim.DiskFaults{SyncLag: time.Hour})
		fill(t, d.Open(), 1, 10)
		d.Kill()
		if _, high := bounds(t, d.Open()); high != 10 {
			t.Errorf("the last entry is %d", high)
		}
	})
}

func TestCopyIsADiskOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		v := d.Open()
		fill(t, v, 1, 10)
		other := d.Copy()
		fill(t, v, 11, 12)
		copied := other.Open()
		fill(t, copied, 11, 11)
		if _, high := bounds(t, v); high != 12 {
			t.Errorf("the last entry is %d after a copy was made", high)
		}
		if _, high := bounds(t, copied); high != 11 {
			t.Errorf("the last entry of the copy is %d", high)
		}
	})
}

func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		v := d.Open()
		d.Set(sim.DiskFaults{FailStore: 1})
		wantErr(t, "store", v.StoreLog(&raft.Log{Index: 1}), sim.ErrDisk)
		if _, high := bounds(t, v); high != 0 {
			t.Error("a failed store left an entry")
		}
		fill(t, v, 1, 1)
		d.Set(sim.DiskFaults{FailStore: -1})
		for range 3 {
			wantErr(t, "store", v.StoreLog(&raft.Log{Index: 2}), sim.ErrDisk)
		}
	})
}

func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		v := d.Open()
		d.Set(sim.DiskFaults{Hang: true})
		start := time.Now()
		time.AfterFunc(time.Minute, func() { d.Set(sim.DiskFaults{}) })
		fill(t, v, 1, 1)
		if time.Since(start) != time.Minute {
			t.Errorf("hung for %v", time.Since(start))
		}
		d.Set(sim.DiskFaults{Hang: true})
		time.AfterFunc(time.Minute, func() { d.Crash() })
		fill(t, v, 2, 2) // the dead are not kept waiting
	})
}

func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk()
		s := d.Open().Snapshots()
		write := func(index uint64, text string, finish func(raft.SnapshotSink) error) {
			sink, err := s.Create(1, index, 1, raft.Configuration{}, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(sink, text)
			if err := finish(sink); err != nil {
				t.Fatal(err)
			}
		}
		for i, text := range []string{"one", "two", "three"} {
			write(uint64(i+1), text, raft.SnapshotSink.Close)
		}
		write(4, "cancelled", raft.SnapshotSink.Cancel)
		d.Set(sim.DiskFaults{SyncLag: time.Hour})
		write(5, "not durable", raft.SnapshotSink.Close)
		d.Crash()

		s = d.Open().Snapshots()
		metas, err := s.List()
		if err != nil || len(metas) != 2 || metas[0].Index != 3 || metas[1].Index != 2 {
			t.Fatalf("%+v, %v", metas, err)
		}
		meta, r, err := s.Open(metas[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(r); string(b) != "three" || meta.Size != 5 {
			t.Errorf("%q, %d bytes", b, meta.Size)
		}
		if _, _, err := s.Open("nothing"); err == nil {
			t.Error("opened what is not there")
		}
	})
}
