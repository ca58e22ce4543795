package wire

import (
	"cmp"
	"maps"
	"slices"
)

// Int encodes a named signed integer, such as an amount or a duration, as
// Codec.Int does.
func Int[T ~int64](c *Codec, v *T) {
	i := int64(*v)
	c.Int(&i)
	if c.decoding {
		*v = T(i)
	}
}

// Uint encodes a named unsigned integer as Codec.Uint does.
func Uint[T ~uint64](c *Codec, v *T) {
	u := uint64(*v)
	c.Uint(&u)
	if c.decoding {
		*v = T(u)
	}
}

// U32 encodes a named 32-bit integer as Codec.U32 does.
func U32[T ~uint32](c *Codec, v *T) {
	u := uint32(*v)
	c.U32(&u)
	if c.decoding {
		*v = T(u)
	}
}

// U16 encodes a named 16-bit integer as Codec.U16 does.
func U16[T ~uint16](c *Codec, v *T) {
	u := uint16(*v)
	c.U16(&u)
	if c.decoding {
		*v = T(u)
	}
}

// Enum encodes one of the values 0 to last of a named small integer as a byte.
func Enum[T ~uint8](c *Codec, v *T, last T) {
	u := uint8(*v)
	c.U8(&u)
	if u > uint8(last) {
		c.Fail("%T is %d, at most %d: %w", *v, u, last, ErrMalformed)
		return
	}
	if c.decoding {
		*v = T(u)
	}
}

// Text encodes a named string of at most limit bytes as Codec.String does.
func Text[T ~string](c *Codec, v *T, limit int) {
	s := string(*v)
	c.String(&s, limit)
	if c.decoding {
		*v = T(s)
	}
}

// eager is the number of elements for which a decoder makes room on the word
// of a length alone. Longer lists grow while their elements are read, so that
// a hostile length costs memory only in proportion to the bytes that came.
const eager = 64

// Slice encodes a list of at most limit elements behind its length. Each
// element must take at least one byte. Nil and empty are the same and are
// decoded as nil; decoding never writes to the array that *s had before.
func Slice[T any](c *Codec, s *[]T, limit int, each func(*Codec, *T)) {
	n := c.length(len(*s), limit)
	if c.err != nil {
		return
	}
	if !c.decoding {
		for i := range *s {
			each(c, &(*s)[i])
		}
		return
	}
	*s = nil
	if n > 0 {
		*s = make([]T, 0, min(n, eager))
	}
	for i := 0; i < n && c.err == nil; i++ {
		var zero T
		*s = append(*s, zero)
		each(c, &(*s)[i])
	}
}

// Map encodes a map of at most limit entries in the order of its keys. Nil and
// empty are the same and are decoded as nil. A decoder refuses keys that do not
// ascend, so that one map has one encoding. Encoding allocates to sort the keys.
func Map[K cmp.Ordered, V any](c *Codec, m *map[K]V, limit int, key func(*Codec, *K), value func(*Codec, *V)) {
	n := c.length(len(*m), limit)
	if c.err != nil || n == 0 && !c.decoding {
		return
	}
	if !c.decoding {
		for _, k := range slices.Sorted(maps.Keys(*m)) {
			v := (*m)[k]
			key(c, &k)
			value(c, &v)
		}
		return
	}
	*m = nil
	if n > 0 {
		*m = make(map[K]V, min(n, eager))
	}
	var last K
	for i := 0; i < n && c.err == nil; i++ {
		var k K
		var v V
		key(c, &k)
		if i > 0 && k <= last {
			c.Fail("key %v behind %v: %w", k, last, ErrMalformed)
		}
		value(c, &v)
		(*m)[k], last = v, k
	}
}

// Optional encodes a value that may be absent: 0, or 1 and the value.
func Optional[T any](c *Codec, v **T, each func(*Codec, *T)) {
	present := *v != nil
	c.Bool(&present)
	if c.err != nil {
		return
	}
	if c.decoding {
		*v = nil
		if present {
			*v = new(T)
		}
	}
	if present {
		each(c, *v)
	}
}
