package sip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/sip"
)

// floodRate is how many hostile packets a second are sent, from floodSources.
const (
	floodRate    = 30_000
	floodSources = 200
)

// flood sends REGISTERs, INVITEs, OPTIONS and garbage from many addresses until
// ctx ends, and returns how many.
func flood(ctx context.Context, b *testing.B, to netip.AddrPort) (sent int) {
	var from []*net.UDPConn
	for i := range floodSources {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 1, byte(i/100), byte(i%100+1))}, net.UDPAddrFromAddrPort(to))
		if err != nil {
			b.Error(err)
			return 0
		}
		defer c.Close()
		from = append(from, c)
	}
	start := time.Now()
	for ctx.Err() == nil {
		for due := int(time.Since(start).Seconds() * floodRate); sent < due; sent++ {
			method := []string{"REGISTER", "INVITE", "OPTIONS", "GARBAGE"}[sent%4]
			raw := message(method+" sip:1@127.0.0.1 SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP 127.1.0.1;branch=z9hG4bK%d;rport", sent),
				fmt.Sprintf("Call-ID: flood%d", sent), "CSeq: 1 "+method)
			_, _ = from[sent%floodSources].Write(raw) // what the kernel drops has no effect, either
		}
		time.Sleep(time.Millisecond)
	}
	return sent
}

// BenchmarkFlood makes whole calls over real sockets, 20 at a time, while 30,000
// packets a second come from strangers. It reports how many calls failed.
func BenchmarkFlood(b *testing.B) {
	friend := netip.MustParseAddr("127.0.0.1")
	caller := realAgent(b, nil)
	callee := realAgent(b, nil, func(c *sip.Config) { c.Known = func(src netip.Addr) bool { return src == friend } })
	callee.request = func(req *sip.Request, tx *sip.ServerTx) {
		switch {
		case req.Source.Addr.Addr() != friend || tx == nil:
		case req.Method == sip.INVITE:
			ok, _ := answer(b, callee, req.Invite("tt-"+req.CallID))
			tx.Respond(ok)
		default:
			tx.Respond(req.Response(200, ""))
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	sent := 0
	wg.Go(func() { sent = flood(ctx, b, callee.addr) })
	start := time.Now()
	var failed atomic.Int64
	slots := make(chan struct{}, 20)
	calls := 0
	for b.Loop() {
		slots <- struct{}{}
		calls++
		req := invite(b, caller, callee, fmt.Sprintf("call%d", calls))
		caller.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
			if err != nil || res.Status != 200 {
				failed.Add(1)
				<-slots
				return
			}
			d, _ := sip.NewClientDialog(req, res)
			caller.Send(d.Ack())
			caller.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, func(_ *sip.Response, err error) {
				if err != nil {
					failed.Add(1)
				}
				<-slots
			})
		})
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	stop()
	wg.Wait()
	b.ReportMetric(float64(sent)/time.Since(start).Seconds(), "hostile/s")
	b.ReportMetric(float64(failed.Load())/float64(calls)*100, "%failed")
}
