package number

import "math/bits"

// Seed derives the seed of a random choice from what identifies the call and
// from the point at which the choice is made (a gateway and a side, say), so
// that every replica and every retry chooses alike and no two points do. It is
// FNV-1a over both.
func Seed(call []byte, point string) uint64 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := uint64(offset)
	for _, c := range call {
		h = (h ^ uint64(c)) * prime
	}
	for i := range len(point) {
		h = (h ^ uint64(point[i])) * prime
	}
	return h
}

// generator is SplitMix64 (Steele, Lea and Flood 2014).
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1: the high half of a product with a full
// word, whose bias of n in 2^64 nobody can measure.
func (g *generator) below(n uint64) uint64 {
	hi, _ := bits.Mul64(g.next(), n)
	return hi
}
