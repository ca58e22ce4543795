package sip_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

func TestAnswerIsRepeatedUntilAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, _, out := p.call(t, sip.Options{})
		begin := time.Now()
		p.answer(t)
		pause(12 * time.Second)
		var at []time.Duration
		for _, when := range out.at {
			at = append(at, when.Sub(begin))
		}
		ms := time.Millisecond
		if want := []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms, 7500 * ms, 11500 * ms}; !slices.Equal(at, want) {
			t.Errorf("200 at %v, want %v", at, want)
		}
		d, _ := sip.NewClientDialog(req, out.res[0])
		p.a.Send(d.Ack())
		p.a.Send(d.Ack())
		pause(time.Minute)
		if len(out.res) != 6 {
			t.Errorf("%d times 200 although it was acknowledged", len(out.res))
		}
		if got := p.b.events(); got != "INVITE ACK" {
			t.Errorf("callee saw %q", got)
		}
	})
}

func TestAnswerWithoutAckTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.call(t, sip.Options{})
		begin := time.Now()
		p.answer(t)
		pause(time.Minute)
		if len(p.b.ackTimeouts) != 1 || p.b.ackTimeouts[0].Sub(begin) != 32*time.Second {
			t.Errorf("ack timeouts at %v, want one after 32 s", p.b.ackTimeouts)
		}
	})
}

func TestByeSettlesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, _, out := p.call(t, sip.Options{})
		p.answer(t)
		d, _ := sip.NewClientDialog(req, out.res[0])
		p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, nil)
		pause(time.Minute)
		out.want(t, 200)
		if got := p.b.events(); got != "INVITE BYE" {
			t.Errorf("callee saw %q", got)
		}
	})
}
