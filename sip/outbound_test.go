package sip_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"tandem/sip"
)

func TestNothingOfTheCallerLeaks(t *testing.T) {
	in := sip.Headers{
		{"User-Agent", "secret"}, {"Route", "<sip:secret>"}, {"record-route", "<sip:secret>"}, {"P-Asserted-Identity", "<sip:secret>"},
		{"p-asserted-identity", "<sip:secret2>"}, {"Supported", "100rel"}, {"Subject", "hello"}, {"PRIVACY", "id"}, {"X-Secret", "1"},
		{"Call-Info", "secret"}, {"Warning", "399 secret"}, {"Contact", "<sip:secret>"}, {"Server", "secret"},
	}
	var names []string
	for _, h := range sip.PassedHeaders(in) {
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "Subject PRIVACY" {
		t.Errorf("passed %q", got)
	}
	if got := sip.TrustedHeaders(in); len(got) != 2 || len(got.All("P-Asserted-Identity")) != 2 {
		t.Errorf("trusted %v", got)
	}
	if len(in) != 13 || in[0].Value != "secret" {
		t.Error("the caller's headers were changed")
	}
}

func TestNoHeaderCanBeInjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		const evil = "x\r\nX-Evil: 1"
		for name, change := range map[string]func(*sip.Request){
			"uri":       func(r *sip.Request) { r.URI = "sip:" + evil },
			"uri blank": func(r *sip.Request) { r.URI = "sip:a b" },
			"from":      func(r *sip.Request) { r.From = evil },
			"to":        func(r *sip.Request) { r.To = evil },
			"call-id":   func(r *sip.Request) { r.CallID = evil },
			"branch":    func(r *sip.Request) { r.Branch = evil },
			"method":    func(r *sip.Request) { r.Method = evil },
			"name":      func(r *sip.Request) { r.Headers.Add(evil, "1") },
			"value":     func(r *sip.Request) { r.Headers.Add("Subject", evil) },
			"line feed": func(r *sip.Request) { r.Headers.Add("Subject", "a\nb") },
			"own via":   func(r *sip.Request) { r.Headers.Add("v", "SIP/2.0/UDP 192.0.2.9") },
			"no dest":   func(r *sip.Request) { r.Dest = sip.Peer{} },
		} {
			req := invite(t, p.a, p.b, "evil")
			change(req)
			if _, err := p.a.Endpoint.Request(req, sip.Options{}, nil); !errors.Is(err, sip.ErrMessage) {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.call(t, sip.Options{})
		for name, change := range map[string]func(*sip.Response){
			"reason": func(r *sip.Response) { r.Reason = evil },
			"value":  func(r *sip.Response) { r.Headers.Add("Reason", evil) },
			"status": func(r *sip.Response) { r.Status = 99 },
			"length": func(r *sip.Response) { r.Headers.Add("content-length", "3") },
		} {
			res := p.state.Response(180)
			change(res)
			if err := p.tx.Respond(res); !errors.Is(err, sip.ErrMessage) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestNewInvite(t *testing.T) {
	good := sip.InviteSpec{
		URI: "sip:2@192.0.2.2", Dest: sip.Peer{Addr: addr("192.0.2.2:5060")}, From: "<sip:1@192.0.2.1>", To: "<sip:2@192.0.2.2>",
		CallID: "c", FromTag: "f", Contact: "sip:x@192.0.2.1", MaxForwards: 69,
	}
	if req, err := sip.NewInvite(good); err != nil || req.CSeq != 1 || req.MaxForwards != 69 {
		t.Errorf("%+v, %v", req, err)
	}
	used := good
	used.MaxForwards = 0
	bad := good
	bad.Branch = "no-cookie"
	for _, s := range []sip.InviteSpec{used, bad} {
		if _, err := sip.NewInvite(s); !errors.Is(err, sip.ErrMessage) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// A response beyond the usual MTU still reaches the caller.
func TestLargeResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, _, out := p.call(t, sip.Options{})
		ok, _ := answer(t, p.b, p.state)
		ok.Body = []byte(strings.Repeat("a=x\r\n", 1000))
		p.tx.Respond(ok)
		synctest.Wait()
		out.want(t, 200)
		if len(out.res[0].Body) != 5000 {
			t.Errorf("a body of %d bytes", len(out.res[0].Body))
		}
	})
}

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		in, display, uri, user, host, tag string
		port                              int
	}{
		{`"A, <B>; \"C\"" <sip:1;rn=2@h.example:5070;user=phone>;tag=x`, `A, <B>; "C"`, "sip:1;rn=2@h.example:5070;user=phone", "1;rn=2", "h.example", "x", 5070},
		{`sip:1@192.0.2.1;tag=y`, "", "sip:1@192.0.2.1", "1", "192.0.2.1", "y", 0},
		{`Bob <sip:1@[2001:db8::1]:5060>`, "Bob", "sip:1@[2001:db8::1]:5060", "1", "2001:db8::1", "", 5060},
		{`<tel:+4930;ext=1>;TAG=z`, "", "tel:+4930;ext=1", "+4930", "", "z", 0},
	} {
		a, err := sip.ParseAddress(tt.in)
		tag, _ := a.Param("tag")
		if err != nil || a.Display != tt.display || a.URI.String() != tt.uri || a.URI.User != tt.user || a.URI.Host != tt.host || tag != tt.tag || a.URI.Port != tt.port {
			t.Errorf("%s: %+v tag %q, %v", tt.in, a, tag, err)
		}
	}
	for _, in := range []string{"", "<", "<>", "<sip:1@h", "<sip:1@h>x", "<sip:1@>", "<sip:1@h:99999>"} {
		if a, err := sip.ParseAddress(in); err == nil {
			t.Errorf("%q gives %+v", in, a)
		}
	}
}
