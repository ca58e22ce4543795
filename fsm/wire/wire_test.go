package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/fsm/wire"
)

type (
	name  string
	color uint8
	count uint64
)

// record has a field of every kind that there is.
type record struct {
	Flag   bool
	Byte   uint8
	Port   uint16
	Index  uint32
	Count  count
	Wait   time.Duration
	Name   name
	Memo   string
	Body   []byte
	ID     [4]byte
	Color  color
	Legs   []leg
	Totals map[string]int64
	Next   *leg
}

type leg struct {
	Number string
	Delta  int64
}

const lastColor color = 2

func (r *record) wire(c *wire.Codec) {
	c.Bool(&r.Flag)
	c.U8(&r.Byte)
	c.U16(&r.Port)
	wire.U32(c, &r.Index)
	wire.Uint(c, &r.Count)
	wire.Int(c, &r.Wait)
	wire.Text(c, &r.Name, 16)
	c.String(&r.Memo, 300)
	c.Bytes(&r.Body, 64)
	c.Fixed(r.ID[:])
	wire.Enum(c, &r.Color, lastColor)
	wire.Slice(c, &r.Legs, 100, func(c *wire.Codec, l *leg) { l.wire(c) })
	wire.Map(c, &r.Totals, 10, text, (*wire.Codec).Int)
	wire.Optional(c, &r.Next, func(c *wire.Codec, l *leg) { l.wire(c) })
}

func (l *leg) wire(c *wire.Codec) {
	c.String(&l.Number, 40)
	c.Int(&l.Delta)
}

func text(c *wire.Codec, s *string) { c.String(s, 16) }

func encode(t interface{ Fatal(...any) }, r record) []byte {
	c := wire.Encoder(nil)
	r.wire(c)
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return c.Buffer()
}

func decode(b []byte) (r record, err error) {
	c := wire.Decoder(b)
	r.wire(c)
	return r, c.Finish()
}

// golden is the layout, written down: a change here is a change of the format
// that older logs and snapshots have.
func TestGolden(t *testing.T) {
	full := record{
		Flag: true, Byte: 0xfe, Port: 5060, Index: math.MaxUint32, Count: math.MaxUint64, Wait: -time.Second,
		Name: "vendor", Memo: "", Body: []byte{1, 2}, ID: [4]byte{0xde, 0xad, 0xbe, 0xef}, Color: 2,
		Legs:   []leg{{"49", -1}, {"", 1}},
		Totals: map[string]int64{"b": 64, "a": -64},
		Next:   &leg{"*21#", math.MinInt64},
	}
	tests := []struct {
		name   string
		record record
		hex    string
	}{
		{"zero", record{}, "00 00 00 00 00 00 00 00 00 00000000 00 00 00 00"},
		{"full", full, "01 fe c427 ffffffff0f ffffffffffffffffff01 ffa7d6b907" +
			"06 76656e646f72 00 02 0102 deadbeef 02" +
			"02 02 3439 01 00 02" +
			"02 01 61 7f 01 62 8001" +
			"01 04 2a323123 ffffffffffffffffff01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := encode(t, tt.record); !bytes.Equal(got, want) {
				t.Errorf("encoded\n%x, want\n%x", got, want)
			}
			got, err := decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.record, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			for n := range want {
				if _, err := decode(want[:n]); !errors.Is(err, wire.ErrTruncated) {
					t.Errorf("the first %d bytes: error %v, want ErrTruncated", n, err)
				}
			}
		})
	}
}

func TestDecoderRefuses(t *testing.T) {
	var (
		flag  bool
		port  uint16
		index uint32
		n     uint64
		i     int64
		memo  string
		body  []byte
		shade color
		legs  []leg
		set   map[string]int64
		next  *leg
	)
	each := func(c *wire.Codec, l *leg) { l.wire(c) }
	tests := []struct {
		name string
		hex  string
		read func(*wire.Codec)
		err  error
		text string
	}{
		{"bool", "02", func(c *wire.Codec) { c.Bool(&flag) }, wire.ErrMalformed, "byte 1: bool is 2: malformed"},
		{"longer form of 0", "8000", func(c *wire.Codec) { c.Uint(&n) }, wire.ErrMalformed, "byte 0: integer: malformed"},
		{"longer form of 1", "818000", func(c *wire.Codec) { c.Int(&i) }, wire.ErrMalformed, "byte 0: integer: malformed"},
		{"65 bits", "ffffffffffffffffff02", func(c *wire.Codec) { c.Uint(&n) }, wire.ErrMalformed, "byte 0: integer: malformed"},
		{"11 bytes", "ffffffffffffffffffff01", func(c *wire.Codec) { c.Uint(&n) }, wire.ErrMalformed, "byte 0: integer: malformed"},
		{"cut integer", "ff", func(c *wire.Codec) { c.Uint(&n) }, wire.ErrTruncated, "byte 0: integer: truncated"},
		{"17 bits", "808004", func(c *wire.Codec) { c.U16(&port) }, wire.ErrMalformed, "byte 3: integer 65536 above 65535: malformed"},
		{"33 bits", "8080808010", func(c *wire.Codec) { c.U32(&index) }, wire.ErrMalformed, "byte 5: integer 4294967296 above 4294967295: malformed"},
		{"text above its limit", "03616263", func(c *wire.Codec) { c.String(&memo, 2) }, wire.ErrTooLong, "byte 1: length 3 above 2: too long"},
		{"text above all limits", "ffffffffffffffffff01", func(c *wire.Codec) { c.String(&memo, math.MaxInt) }, wire.ErrTooLong, "byte 10: length 18446744073709551615 above 9223372036854775807: too long"},
		{"cut text", "036162", func(c *wire.Codec) { c.String(&memo, 9) }, wire.ErrTruncated, "byte 1: length 3, 2 bytes left: truncated"},
		{"cut bytes", "036162", func(c *wire.Codec) { c.Bytes(&body, 9) }, wire.ErrTruncated, "byte 1: length 3, 2 bytes left: truncated"},
		{"cut identifier", "0102", func(c *wire.Codec) { c.Fixed(make([]byte, 3)) }, wire.ErrTruncated, "byte 0: 3 bytes needed, 2 left: truncated"},
		{"unknown colour", "03", func(c *wire.Codec) { wire.Enum(c, &shade, lastColor) }, wire.ErrMalformed, "byte 1: wire_test.color is 3, at most 2: malformed"},
		{"list above its limit", "0300000000", func(c *wire.Codec) { wire.Slice(c, &legs, 2, each) }, wire.ErrTooLong, "byte 1: length 3 above 2: too long"},
		{"list that cannot be there", "ffff03", func(c *wire.Codec) { wire.Slice(c, &legs, 1<<30, each) }, wire.ErrTruncated, "byte 3: length 65535, 0 bytes left: truncated"},
		{"keys out of order", "02 0162 02 0161 02", func(c *wire.Codec) { wire.Map(c, &set, 9, text, (*wire.Codec).Int) }, wire.ErrMalformed, "byte 6: key a behind b: malformed"},
		{"key twice", "02 0161 02 0161 02", func(c *wire.Codec) { wire.Map(c, &set, 9, text, (*wire.Codec).Int) }, wire.ErrMalformed, "byte 6: key a behind a: malformed"},
		{"half present", "02", func(c *wire.Codec) { wire.Optional(c, &next, each) }, wire.ErrMalformed, "byte 1: bool is 2: malformed"},
		{"left over", "0100", func(c *wire.Codec) { c.Bool(&flag) }, wire.ErrMalformed, "byte 1: 1 bytes left over: malformed"},
		{"no meaning", "01", func(c *wire.Codec) { c.Bool(&flag); c.Fail("kind %d", 7) }, nil, "byte 1: kind 7"},
		{"first error", "02", func(c *wire.Codec) { c.Bool(&flag); c.Uint(&n); c.Fail("late") }, wire.ErrMalformed, "byte 1: bool is 2: malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			c := wire.Decoder(b)
			tt.read(c)
			err = c.Finish()
			if err == nil || err.Error() != tt.text || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

// TestEncoderKeepsLimits: what a decoder would refuse is never written.
func TestEncoderKeepsLimits(t *testing.T) {
	long, legs, shade := "abc", make([]leg, 3), lastColor+1
	for name, write := range map[string]func(*wire.Codec){
		"text": func(c *wire.Codec) { c.String(&long, 2) },
		"list": func(c *wire.Codec) { wire.Slice(c, &legs, 2, func(c *wire.Codec, l *leg) { l.wire(c) }) },
		"enum": func(c *wire.Codec) { wire.Enum(c, &shade, lastColor) },
	} {
		c := wire.Encoder([]byte("before"))
		write(c)
		if c.Finish() == nil {
			t.Errorf("%s: no error", name)
		}
		size := c.Len()
		if c.String(&long, 9); c.Len() != size {
			t.Errorf("%s: an encoder wrote on after an error", name)
		}
	}
}

func TestDecodedValuesDoNotAlias(t *testing.T) {
	want := record{Memo: "memo", Body: []byte("body"), Legs: []leg{{Number: "4915"}}}
	b := encode(t, want)
	input := bytes.Clone(b)
	got, err := decode(input)
	if err != nil {
		t.Fatal(err)
	}
	for i := range input {
		input[i] ^= 0xff
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changed with the input (-want +got):\n%s", diff)
	}

	// A reused value must not hand out the array that it had before.
	before := got.Legs
	c := wire.Decoder(encode(t, record{Legs: []leg{{Number: "331"}}}))
	if got.wire(c); c.Finish() != nil || before[0].Number != "4915" {
		t.Errorf("decoding wrote to an older slice: %v, %v", before, c.Err())
	}
}

// TestReuseDoesNotAllocate: the hot path of an encoder and of a decoder of
// numbers.
func TestReuseDoesNotAllocate(t *testing.T) {
	r := record{Memo: "memo", Body: []byte("body"), Legs: []leg{{Number: "4915"}}}
	encoder, numbers := wire.Encoder(make([]byte, 0, 256)), wire.Decoder(nil)
	input := []byte{1, 2, 3, 4}
	var id [2]byte
	var i int64
	var u uint16
	if n := testing.AllocsPerRun(100, func() {
		encoder.Reset(encoder.Buffer()[:0])
		r.wire(encoder)
		numbers.Reset(input)
		numbers.Int(&i)
		numbers.U16(&u)
		numbers.Fixed(id[:])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if encoder.Finish() != nil || numbers.Finish() != nil {
		t.Error(encoder.Err(), numbers.Err())
	}
}

// TestHostileLengthsCostLittle: a length of 10 million, with as many bytes
// behind it, of elements that turn out to be broken.
func TestHostileLengthsCostLittle(t *testing.T) {
	b := wire.Encoder(nil)
	n := uint64(10_000_000)
	b.Uint(&n)
	input := append(b.Buffer(), bytes.Repeat([]byte{0xff}, int(n))...)
	var legs []leg
	c := wire.Decoder(input)
	wire.Slice(c, &legs, math.MaxInt, func(c *wire.Codec, l *leg) { l.wire(c) })
	if !errors.Is(c.Err(), wire.ErrMalformed) || cap(legs) > 64 {
		t.Errorf("error %v, room for %d", c.Err(), cap(legs))
	}
	if c.Len() == 0 || !bytes.Equal(c.Rest(), input[len(input)-c.Len():]) {
		t.Errorf("%d bytes left of %d", c.Len(), len(input))
	}
}

func drawLeg(t *rapid.T) leg {
	return leg{Number: rapid.StringMatching(`[0-9*#]{0,40}`).Draw(t, "number"), Delta: rapid.Int64().Draw(t, "delta")}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record{
			Flag:   rapid.Bool().Draw(t, "flag"),
			Byte:   rapid.Byte().Draw(t, "byte"),
			Port:   rapid.Uint16().Draw(t, "port"),
			Index:  rapid.Uint32().Draw(t, "index"),
			Count:  count(rapid.Uint64().Draw(t, "count")),
			Wait:   time.Duration(rapid.Int64().Draw(t, "wait")),
			Name:   name(rapid.StringN(0, 4, 16).Draw(t, "name")),
			Memo:   rapid.StringN(0, 300, 300).Draw(t, "memo"),
			Body:   rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "body"),
			Color:  color(rapid.Uint8Range(0, uint8(lastColor)).Draw(t, "color")),
			Legs:   rapid.SliceOfN(rapid.Custom(drawLeg), 0, 100).Draw(t, "legs"),
			Totals: rapid.MapOfN(rapid.StringN(0, 4, 16), rapid.Int64(), 0, 10).Draw(t, "totals"),
			Next:   rapid.Ptr(rapid.Custom(drawLeg), true).Draw(t, "next"),
		}
		copy(want.ID[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "id"))
		got, err := decode(encode(t, want))
		if err != nil {
			t.Fatal(err)
		}
		// Nil and empty are the same.
		if len(want.Body) == 0 {
			want.Body = nil
		}
		if len(want.Legs) == 0 {
			want.Legs = nil
		}
		if len(want.Totals) == 0 {
			want.Totals = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzRecord: whatever is decoded without error encodes to the same bytes, so
// each value has one encoding.
func FuzzRecord(f *testing.F) {
	f.Add(encode(f, record{}))
	f.Add(encode(f, record{
		Flag: true, Count: 300, Wait: -5, Name: "a", Memo: "b", Body: []byte{1}, Color: 1,
		Legs: []leg{{"49", 1}, {"33", 2}}, Totals: map[string]int64{"x": 1, "y": 2}, Next: &leg{},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		input := slices.Clone(b)
		r, err := decode(b)
		if !bytes.Equal(b, input) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if again := encode(t, r); !bytes.Equal(again, input) {
			t.Errorf("decoded from %x, encoded as %x", input, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	r := record{Memo: "a memo of some length", Count: 1 << 40, Wait: time.Hour, Legs: []leg{{"4915112345678", -5}, {"33123456789", 7}}}
	c := wire.Encoder(nil)
	b.ReportAllocs()
	for b.Loop() {
		c.Reset(c.Buffer()[:0])
		r.wire(c)
	}
	b.SetBytes(int64(c.Len()))
}

func BenchmarkDecode(b *testing.B) {
	input := encode(b, record{Memo: "a memo of some length", Count: 1 << 40, Wait: time.Hour, Legs: []leg{{"4915112345678", -5}, {"33123456789", 7}}})
	c := wire.Decoder(nil)
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		var r record
		c.Reset(input)
		r.wire(c)
	}
}
