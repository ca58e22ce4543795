package fsm

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/fsm/wire"
)

// records is one empty record of each type with an encoding of its own.
func records() []fielder {
	return []fielder{
		new(Account), new(MappingGateway), new(RoutingGateway), new(RateTable), new(RateRow), new(Block),
		new(NumberList), new(Token), new(Member), new(Transfer), new(Call), new(CDR), new(Attempt), new(Owner),
		new(MediaStats), new(Result), new(Plan), new(Grant), new(Candidate), new(Skip), new(Addr), new(Prefix),
		new(Origin), new(NumberRules), new(Transform), new(ServiceAddress), new(Address), new(Pledge), new(Orphan), new(Day), new(Profile), new(Identity), new(Phone), new(Secret), new(Binding), new(Contact), new(Flow),
		new(Package), new(Purchase), new(Prepaid),
	}
}

// fill gives every exported field below v a value that is not zero, another
// one each time: small enough for every bound and enumeration.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n%100 + 1))
	case reflect.Uint8:
		v.SetUint(1) // the one value that is neither zero nor beyond any enumeration
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n%100 + 1))
	case reflect.String:
		v.SetString(fmt.Sprint(1000 + *n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of type %v: teach fill what that is", v.Type())
	}
}

func filled[T fielder](t *testing.T, r T) T {
	t.Helper()
	n := 0
	fill(t, reflect.ValueOf(r).Elem(), &n)
	return r
}

// TestEveryFieldIsEncoded fails when a field is added to a type and not to its
// description.
func TestEveryFieldIsEncoded(t *testing.T) {
	for _, r := range records() {
		t.Run(reflect.TypeOf(r).Elem().Name(), func(t *testing.T) {
			filled(t, r)
			back := reflect.New(reflect.TypeOf(r).Elem()).Interface().(fielder)
			if err := decode(encode(nil, r), back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, back); diff != "" {
				t.Errorf("lost or changed (-was +is):\n%s", diff)
			}
		})
	}
	for k := Kind(1); k <= lastKind; k++ {
		t.Run(k.String(), func(t *testing.T) {
			cmd := sample(t, k)
			back, err := DecodeCommand(mustAppend(t, cmd))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*cmd, back); diff != "" {
				t.Errorf("lost or changed (-was +is):\n%s", diff)
			}
		})
	}
}

// TestLastValues fails when a value is added behind the one that a description
// names as the last: it could not be encoded.
func TestLastValues(t *testing.T) {
	for _, next := range []fmt.Stringer{
		lastKind + 1, CalleeBusy + 1, EndRestored + 1, ByServer + 1, CallAnswered + 1, House + 1, TransferLapse + 1,
	} {
		if next.String() != "unknown" {
			t.Errorf("%T has %s behind what was the last value", next, next)
		}
	}
}

// sample returns a command of a kind with all fields set.
func sample(t *testing.T, k Kind) *Command {
	t.Helper()
	body := newBody(k)
	if body == nil || body.Kind() != k {
		t.Fatalf("kind %d is not known: %T", k, body)
	}
	return &Command{
		Origin: *filled(t, new(Origin)), Age: 1500 * time.Millisecond, Deadline: 77, Key: "token/key",
		Body: filled(t, body),
	}
}

func mustAppend(t *testing.T, cmd *Command) []byte {
	t.Helper()
	b, err := AppendCommand(nil, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden pins the bytes of every record: what is in a log or a snapshot has
// to stay readable.
func TestGolden(t *testing.T) {
	compared := 0
	golden := func(t *testing.T, name string, got []byte) {
		compared++
		golden(t, name, got)
	}
	for k := Kind(1); k <= lastKind; k++ {
		golden(t, fmt.Sprintf("command-%02d-%s", k, k), mustAppend(t, sample(t, k)))
	}
	commands := [][]byte{mustAppend(t, sample(t, KindTick)), mustAppend(t, sample(t, KindBeat))}
	golden(t, "entry", AppendEntry(nil, 1_700_000_000_000_000, commands))
	golden(t, "result", AppendResult(nil, filled(t, new(Result))))
	golden(t, "cdr", AppendCDR(nil, filled(t, new(CDR))))
	golden(t, "transfer", AppendTransfer(nil, filled(t, new(Transfer))))
	for _, r := range records() {
		golden(t, "record-"+reflect.TypeOf(r).Elem().Name(), encode(nil, filled(t, r)))
	}
	files, err := os.ReadDir(filepath.Join("testdata", "encoding"))
	if err != nil || len(files) != compared {
		t.Errorf("%d files, %d are compared (%v): those of what is gone have to go, too", len(files), compared, err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "encoding", name+".hex")
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" { // the flag of the stories
		var b strings.Builder
		for line := got; len(line) > 0; line = line[min(32, len(line)):] {
			fmt.Fprintln(&b, hex.EncodeToString(line[:min(32, len(line))]))
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v (go test ./fsm -run Golden -update writes it)", err)
		return
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: the layout changed, which takes a new version (-was +is):\n%s", name, diff)
	}
}

func TestEntry(t *testing.T) {
	first, second := sample(t, KindTopUp), sample(t, KindStartCall)
	commands := [][]byte{mustAppend(t, first), mustAppend(t, second)}
	SetAge(commands[0], 3*time.Second)
	first.Age = 3 * time.Second

	b := AppendEntry([]byte("before"), 42, commands)[len("before"):]
	entry, err := DecodeEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Entry{At: 42, Commands: []Command{*first, *second}}, entry); diff != "" {
		t.Error(diff)
	}
	at, raw, err := SplitEntry(b)
	if diff := cmp.Diff(commands, raw); at != 42 || err != nil || diff != "" {
		t.Errorf("at %d, %v, %s", at, err, diff)
	}
	empty, err := DecodeEntry(AppendEntry(nil, 43, nil))
	if err != nil || empty.At != 43 || len(empty.Commands) != 0 {
		t.Errorf("empty entry: %+v, %v", empty, err)
	}
}

// TestDamage says what a replica is told that meets bytes it cannot read.
func TestDamage(t *testing.T) {
	good := mustAppend(t, &Command{Origin: Origin{Node: "a1", Seq: 7}, Body: &TopUp{Account: "alice", Amount: 5}})
	head := len(good) - len(mustAppendBody(t, &TopUp{Account: "alice", Amount: 5}))
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	entry := AppendEntry(nil, 1, [][]byte{good})
	flipped := append([]byte(nil), entry...)
	flipped[len(flipped)/2] ^= 1

	tests := []struct {
		name string
		b    []byte
		err  error
		text string
	}{
		{"empty", AppendEntry(nil, 1, [][]byte{nil}), wire.ErrTruncated, "command 1 of 1: decode command: 0 bytes: truncated"},
		{"kind", AppendEntry(nil, 1, [][]byte{good, change(head+1, 99)}), ErrKind,
			"command 2 of 2: decode command: kind 99, known are 1 to 41: unknown kind of command"},
		{"version", AppendEntry(nil, 1, [][]byte{change(head, 9)}), wire.ErrVersion,
			"command 1 of 1: decode command: version 9, known are 1 to 1: unknown version"},
		{"short", AppendEntry(nil, 1, [][]byte{good[:len(good)-3]}), wire.ErrTruncated, "command 1 of 1: decode TopUp: byte "},
		{"long", AppendEntry(nil, 1, [][]byte{append(good[:len(good):len(good)], 0)}), wire.ErrMalformed, "1 bytes left over"},
		{"flipped", flipped, wire.ErrChecksum, "decode entry: frame of"},
		{"cut", entry[:len(entry)-1], wire.ErrTruncated, "decode entry: frame of"},
		{"not an entry", AppendTransfer(nil, new(Transfer)), wire.ErrMalformed, "frame of kind 4, not 1"},
		{"two", append(entry[:len(entry):len(entry)], entry...), wire.ErrMalformed, "bytes behind the frame"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeEntry(tt.b)
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %q of %v", err, tt.text, tt.err)
			}
		})
	}
}

func mustAppendBody(t *testing.T, body Body) []byte {
	t.Helper()
	b, err := AppendBody(nil, "", body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBounds: what comes from outside and is too long never enters the log.
func TestBounds(t *testing.T) {
	long := strings.Repeat("9", 100_000)
	for _, tt := range []struct {
		body Body
		text string
	}{
		{&StartCall{Caller: long}, "encode StartCall: byte"},
		{&StartCall{Offer: []byte(long)}, "length 100000 above 8192: too long"},
		{&TopUp{Memo: long}, "encode TopUp"},
		{&Beat{Silent: make([]CallID, maxCallIDs+1)}, "encode Beat"},
		{&EndCall{Reason: EndRestored + 1}, "encode EndCall"},
		{nil, "encode command <nil>"},
	} {
		out, err := AppendCommand([]byte("kept"), &Command{Body: tt.body})
		if err == nil || !strings.Contains(err.Error(), tt.text) || string(out) != "kept" {
			t.Errorf("%T: error %v, want %q; %d bytes", tt.body, err, tt.text, len(out))
		}
	}
	rows := make([]RateRow, maxRows)
	for i := range rows {
		rows[i].Area, rows[i].Prefix = strings.Repeat("a", maxName), strings.Repeat("4", maxNumber)
	}
	if _, err := AppendCommand(nil, &Command{Body: &ImportRates{Rows: rows}}); !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("a chunk of %d long rows: %v", maxRows, err)
	}
}

// fuzzBytes checks a decoder: it never panics, and what it accepts is exactly
// what its encoder writes.
func fuzzBytes(f *testing.F, seeds [][]byte, again func([]byte) ([]byte, error)) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := again(b)
		if err == nil && !cmp.Equal(b, out) {
			t.Errorf("accepted %x, which is written as %x", b, out)
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	var seeds [][]byte
	for k := Kind(1); k <= lastKind; k++ {
		b, err := AppendCommand(nil, &Command{Body: newBody(k)})
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	fuzzBytes(f, seeds, func(b []byte) ([]byte, error) {
		cmd, err := DecodeCommand(b)
		if err != nil {
			return nil, err
		}
		return AppendCommand(nil, &cmd)
	})
}

func FuzzDecodeEntry(f *testing.F) {
	tick, err := AppendCommand(nil, &Command{Body: new(Tick)})
	if err != nil {
		f.Fatal(err)
	}
	fuzzBytes(f, [][]byte{AppendEntry(nil, 1, nil), AppendEntry(nil, 2, [][]byte{tick, tick})}, func(b []byte) ([]byte, error) {
		e, err := DecodeEntry(b)
		if err != nil {
			return nil, err
		}
		var commands [][]byte
		for i := range e.Commands {
			c, err := AppendCommand(nil, &e.Commands[i])
			if err != nil {
				return nil, err
			}
			commands = append(commands, c)
		}
		return AppendEntry(nil, e.At, commands), nil
	})
}

func FuzzDecodeResult(f *testing.F) {
	fuzzBytes(f, [][]byte{AppendResult(nil, &Result{Plan: new(Plan)})}, func(b []byte) ([]byte, error) {
		r, err := DecodeResult(b)
		return AppendResult(nil, &r), err
	})
}

func FuzzDecodeCDR(f *testing.F) {
	fuzzBytes(f, [][]byte{AppendCDR(nil, &CDR{Attempts: make([]Attempt, 1)})}, func(b []byte) ([]byte, error) {
		r, err := DecodeCDR(b)
		return AppendCDR(nil, &r), err
	})
}

func FuzzDecodeTransfer(f *testing.F) {
	fuzzBytes(f, [][]byte{AppendTransfer(nil, &Transfer{Memo: "m"})}, func(b []byte) ([]byte, error) {
		r, err := DecodeTransfer(b)
		return AppendTransfer(nil, &r), err
	})
}

// FuzzDecodeRecord feeds bare records, as snapshots hold them; the first byte
// chooses the type.
func FuzzDecodeRecord(f *testing.F) {
	var seeds [][]byte
	for i, r := range records() {
		seeds = append(seeds, encode([]byte{byte(i)}, r))
	}
	fuzzBytes(f, seeds, func(b []byte) ([]byte, error) {
		all := records()
		if len(b) == 0 || int(b[0]) >= len(all) {
			return nil, wire.ErrTruncated
		}
		r := all[b[0]]
		if err := decode(b[1:], r); err != nil {
			return nil, err
		}
		return encode([]byte{b[0]}, r), nil
	})
}

func BenchmarkAppendStartCall(b *testing.B) {
	cmd := startCall()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendCommand(buf[:0], cmd)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecodeStartCall(b *testing.B) {
	buf, err := AppendCommand(nil, startCall())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeCommand(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func startCall() *Command {
	return &Command{
		Origin: Origin{Node: "node-1", Incarnation: 3, Seq: 123_456, Low: 123_400}, Age: time.Millisecond,
		Body: &StartCall{
			Call: CallID{1, 2, 3}, Source: AddrFrom4([4]byte{192, 0, 2, 1}, 5060), SourceVia: "udp",
			Caller: "4930123456", Callee: "442079460000", SIPCallID: "3c26700a1a4e-8f1d@192.0.2.1",
			Invite: make([]byte, 600), Offer: make([]byte, 300),
		},
	}
}
