package fsm

import (
	"encoding/binary"
	"math/bits"
)

// sum128 is an element of the group of integers mod 2^128. Record hashes are
// added and subtracted in it, so the order of changes does not matter.
type sum128 struct{ hi, lo uint64 }

func (s sum128) add(t sum128) sum128 {
	lo, carry := bits.Add64(s.lo, t.lo, 0)
	hi, _ := bits.Add64(s.hi, t.hi, carry)
	return sum128{hi, lo}
}

func (s sum128) sub(t sum128) sum128 {
	lo, borrow := bits.Sub64(s.lo, t.lo, 0)
	hi, _ := bits.Sub64(s.hi, t.hi, borrow)
	return sum128{hi, lo}
}

func (s sum128) hash() (h Hash) {
	binary.BigEndian.PutUint64(h[:8], s.hi)
	binary.BigEndian.PutUint64(h[8:], s.lo)
	return h
}

// sipHash is SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012,
// and the authors' reference code for the longer output). It is keyed because
// callers choose texts that end up in records: with a public hash they could
// make two different states sum up to the same value (ARCHITECTURE.md, rule 11).
func sipHash(key [16]byte, p []byte) sum128 {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	v0 := k0 ^ 0x736f6d6570736575
	v1 := k1 ^ 0x646f72616e646f6d ^ 0xee // 0xee: 128-bit output
	v2 := k0 ^ 0x6c7967656e657261
	v3 := k1 ^ 0x7465646279746573
	last := uint64(len(p)) << 56
	for ; len(p) >= 8; p = p[8:] {
		m := binary.LittleEndian.Uint64(p)
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, b := range p {
		last |= uint64(b) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xee
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	lo := v0 ^ v1 ^ v2 ^ v3
	v1 ^= 0xdd
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return sum128{hi: v0 ^ v1 ^ v2 ^ v3, lo: lo}
}

// sipRound works on values, not on a state in memory: inlined, it stays in
// registers.
func sipRound(v0, v1, v2, v3 uint64) (w0, w1, w2, w3 uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v1
	v0 += v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}
