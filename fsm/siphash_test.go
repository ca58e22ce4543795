package fsm

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// TestSipHash compares with the vectors of the authors' reference code
// (vectors_sip128): key 00 01 ... 0f, inputs of n bytes 00 01 ...
func TestSipHash(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	want := []string{
		"a3817f04ba25a8e66df67214c7550293",
		"da87c1d86b99af44347659119b22fc45",
		"8177228da4a45dc7fca38bdef60affe4",
		"9c70b60c5267a94e5f33b6b02985ed51",
	}
	var in []byte
	for i, w := range want {
		s := sipHash(key, in)
		got := hex.EncodeToString(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.lo), s.hi))
		if got != w {
			t.Errorf("%d bytes: %s, want %s", i, got, w)
		}
		in = append(in, byte(i))
	}
}

// TestSum: what is added and subtracted again leaves nothing, also over a carry.
func TestSum(t *testing.T) {
	a, b := sum128{hi: 1, lo: ^uint64(0)}, sum128{hi: ^uint64(0), lo: 2}
	if got := a.add(b).sub(b); got != a {
		t.Errorf("got %+v, want %+v", got, a)
	}
	if got := a.add(b); got != (sum128{hi: 1, lo: 1}) {
		t.Errorf("sum %+v", got)
	}
}

func BenchmarkSipHash(b *testing.B) {
	p := make([]byte, 256)
	b.SetBytes(int64(len(p)))
	for range b.N {
		sipHash([16]byte{}, p)
	}
}
