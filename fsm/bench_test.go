package fsm_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"tandem/fsm"
)

// large returns a state with accounts that have money, a rate table of prefixes
// and gateways, and the addresses' owner n1.
func large(b testing.TB, accounts, prefixes, gateways int) (*fsm.State, *fsm.Entry) {
	s := fsm.New(fsm.Config{})
	e := &fsm.Entry{At: 1_800_000_000_000_000}
	var index uint64
	apply := func(bodies ...fsm.Body) {
		index++
		batch := fsm.Entry{At: e.At}
		for _, body := range bodies {
			batch.Commands = append(batch.Commands, fsm.Command{Body: body})
		}
		for i, r := range s.Apply(index, batch).Results {
			if r.Code != fsm.OK {
				b.Fatalf("%T: %s %s", bodies[i], r.Code, r.Detail)
			}
		}
	}
	apply(&fsm.NodeUp{Node: "n1", Incarnation: 1, Level: 1})
	for _, t := range []string{"std", "cost"} {
		apply(&fsm.PutRateTable{Table: fsm.RateTable{ID: t, Currency: "USD"}})
		const chunk = 1000
		for i := 0; i < prefixes; i += chunk {
			rows := make([]fsm.RateRow, min(chunk, prefixes-i))
			for j := range rows {
				rows[j] = fsm.RateRow{Prefix: fmt.Sprintf("4%06d", i+j), Price: 10_000_000, First: 1, Next: 1}
			}
			apply(&fsm.ImportRates{Table: t, Version: 1, Chunk: uint32(i / chunk), Rows: rows})
		}
		apply(&fsm.ActivateRates{Table: t, Version: 1, Rows: uint32(prefixes)})
	}
	apply(&fsm.PutAccount{Account: fsm.Account{ID: "vendor", Type: fsm.Vendor, Currency: "USD", RateTable: "cost"}})
	for i := range gateways {
		apply(&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
			ID: fmt.Sprintf("out%d", i), Account: "vendor", Priority: int32(i % 5), Host: "h", Prefixes: []string{fmt.Sprintf("4%d", i%10)},
		}})
	}
	for i := range accounts {
		id := fmt.Sprintf("a%d", i)
		apply(
			&fsm.PutAccount{Account: fsm.Account{ID: id, Type: fsm.Client, Currency: "USD", RateTable: "std"}},
			&fsm.TopUp{Account: id, Amount: 1_000_000_000},
		)
		if i < 20_000 { // as many ingresses as there may be
			apply(&fsm.PutMappingGateway{Gateway: fsm.MappingGateway{
				ID: id, Account: id, Addrs: []fsm.Prefix{{IP: ip(i), Bits: 128}},
			}})
		}
	}
	return s, e
}

func ip(i int) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
}

// BenchmarkStartEnd applies calls that start, and end 64 entries later, in
// batches as group commit makes them. One operation is one call.
func BenchmarkStartEnd(b *testing.B) {
	const accounts, batch = 100_000, 64
	s, e := large(b, accounts, 100_000, 50)
	index, seq := s.Index(), uint64(0)
	command := func(body fsm.Body) fsm.Command {
		seq++
		low := uint64(1)
		if seq > 2*batch {
			low = seq - 2*batch
		}
		return fsm.Command{Body: body, Origin: fsm.Origin{Node: "n1", Incarnation: 1, Seq: seq, Low: low}}
	}
	callID := func(i int) (id fsm.CallID) {
		for j := range 8 {
			id[j] = byte(i >> (8 * j))
		}
		return id
	}
	b.ReportAllocs()
	b.ResetTimer()
	started := 0
	for done := 0; done < b.N; {
		e.Commands = e.Commands[:0:0]
		e.At = e.At.Add(time.Millisecond)
		for range batch {
			i := started
			started++
			e.Commands = append(e.Commands, command(&fsm.StartCall{
				Call: callID(i), Source: fsm.Addr{IP: ip(i % 20_000), Port: 5060}, SourceVia: "udp",
				Caller: "442079460001", Callee: fmt.Sprintf("4%06d12345", i*7919%100_000), SIPCallID: "x",
			}))
			if i >= 64*batch {
				e.Commands = append(e.Commands, command(&fsm.EndCall{
					Call: callID(i - 64*batch), Epoch: 1, How: fsm.EndFact, By: fsm.ByCaller, Reason: fsm.EndCanceled,
				}))
				done++
			}
		}
		index++
		for _, r := range s.Apply(index, *e).Results {
			if r.Code != fsm.OK {
				b.Fatalf("%s: %s", r.Code, r.Detail)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkSnapshot takes a view of a million accounts: the time that Apply is
// held up.
func BenchmarkSnapshot(b *testing.B) {
	s, _ := large(b, 1_000_000, 1000, 5)
	b.ResetTimer()
	for range b.N {
		s.Snapshot().Release()
	}
}

// BenchmarkSnapshotWrite writes a million accounts beside Apply.
func BenchmarkSnapshotWrite(b *testing.B) {
	s, _ := large(b, 1_000_000, 1000, 5)
	b.ResetTimer()
	for range b.N {
		v := s.Snapshot()
		if _, err := v.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
		v.Release()
	}
}

// BenchmarkPage lists a hundred of a hundred thousand accounts: Apply waits
// meanwhile.
func BenchmarkPage(b *testing.B) {
	s, _ := large(b, 100_000, 1000, 1)
	for b.Loop() {
		if len(s.Accounts("a5", 100)) != 100 {
			b.Fatal("no page")
		}
	}
}

// BenchmarkNodeDown moves 10,000 calls of a dead node, of 200,000 that there are.
func BenchmarkNodeDown(b *testing.B) {
	s, e := large(b, 1000, 1000, 50)
	index := s.Index()
	apply := func(node fsm.NodeID, bodies ...fsm.Body) []fsm.Event {
		index++
		e.Commands = e.Commands[:0:0]
		for _, body := range bodies {
			e.Commands = append(e.Commands, fsm.Command{Body: body, Origin: fsm.Origin{Node: node, Incarnation: 1}})
		}
		out := s.Apply(index, *e)
		for _, r := range out.Results {
			if r.Code != fsm.OK {
				b.Fatalf("%s: %s", r.Code, r.Detail)
			}
		}
		return out.Events
	}
	up := &fsm.NodeUp{Node: "n2", Level: 1, Incarnation: 1, Addresses: []fsm.ServiceAddress{{IP: "10.0.0.2"}}}
	apply("n2", up)
	for i := range 200_000 {
		node, line := fsm.NodeID("n1"), ""
		if i%20 == 0 {
			node, line = "n2", "10.0.0.2"
		}
		apply(node, &fsm.StartCall{
			Call: fsm.CallID{byte(i), byte(i >> 8), byte(i >> 16)}, Source: fsm.Addr{IP: ip(i % 1000), Port: 5060},
			Caller: "442079460001", Callee: fmt.Sprintf("4%06d12345", i%1000), Line: line,
		})
	}
	for b.Loop() {
		if n := len(apply("n1", &fsm.NodeDown{Node: "n2", Incarnation: up.Incarnation, Exited: true})); n != 10_002 {
			b.Fatalf("%d events", n)
		}
		b.StopTimer() // n2 returns and gets them back
		up = &fsm.NodeUp{Node: "n2", Level: 1, Incarnation: up.Incarnation + 1, Addresses: up.Addresses}
		apply("n2", up)
		apply("n1", &fsm.HandOver{IP: "10.0.0.2", To: "n2"})
		b.StartTimer()
	}
}
