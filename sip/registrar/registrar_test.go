package registrar

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/sip"
)

// register is a REGISTER with these header lines.
func register(to string, lines ...string) *sip.Request {
	req := &sip.Request{
		Method: sip.REGISTER, URI: "sip:example.net", To: to, From: to, FromTag: "f", CallID: "c1", CSeq: 7,
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Headers.Add(name, value)
	}
	return req
}

const alice = "<sip:1001@example.net>"

func TestParse(t *testing.T) {
	limits := Limits{Own: []netip.Addr{netip.MustParseAddr("203.0.113.20")}}
	one := func(c Contact) Register {
		return Register{User: "1001", Host: "example.net", CallID: "c1", CSeq: 7, Contacts: []Contact{c}}
	}
	for _, tt := range []struct {
		name   string
		req    *sip.Request
		want   Register
		status int
	}{
		{"plain", register(alice, "Contact: <sip:1001@192.0.2.7:5070>"), one(Contact{URI: "sip:1001@192.0.2.7:5070", Q: 1000, For: time.Hour}), 0},
		{"header's expiry", register(alice, "Contact: <sip:a@192.0.2.7>", "Expires: 120"), one(Contact{URI: "sip:a@192.0.2.7", Q: 1000, For: 2 * time.Minute}), 0},
		{"contact's expiry wins", register(alice, "Contact: <sip:a@192.0.2.7>;expires=90;q=0.25", "Expires: 120"), one(Contact{URI: "sip:a@192.0.2.7", Q: 250, For: 90 * time.Second}), 0},
		{"too long is cut", register(alice, "Contact: <sip:a@192.0.2.7>", "Expires: 4294967295"), one(Contact{URI: "sip:a@192.0.2.7", Q: 1000, For: time.Hour}), 0},
		{"goes", register(alice, "Contact: <sip:a@192.0.2.7>;expires=0"), one(Contact{URI: "sip:a@192.0.2.7", Q: 1000}), 0},
		{"outbound", register(alice, `Contact: <sip:a@192.0.2.7>;reg-id=1;+sip.instance="<urn:uuid:1>"`, "Supported: path, outbound"),
			Register{User: "1001", Host: "example.net", CallID: "c1", CSeq: 7, Outbound: true, Contacts: []Contact{{URI: "sip:a@192.0.2.7", Instance: "<urn:uuid:1>", RegID: 1, Q: 1000, For: time.Hour}}}, 0},
		{"query", register(alice), Register{User: "1001", Host: "example.net", CallID: "c1", CSeq: 7}, 0},
		{"all go", register(alice, "Contact: *", "Expires: 0"), Register{User: "1001", Host: "example.net", CallID: "c1", CSeq: 7, All: true}, 0},
		{"path", register(alice, "Path: <sip:p@192.0.2.1;lr>", "Supported: path"), Register{User: "1001", Host: "example.net", CallID: "c1", CSeq: 7, Path: []string{"sip:p@192.0.2.1;lr"}}, 0},
		{"too short", register(alice, "Contact: <sip:a@192.0.2.7>;expires=59"), Register{}, 423},
		{"star and time", register(alice, "Contact: *", "Expires: 5"), Register{}, 400},
		{"star and more", register(alice, "Contact: *, <sip:a@192.0.2.7>", "Expires: 0"), Register{}, 400},
		{"no number", register(alice, "Contact: <sip:a@192.0.2.7>;expires=soon"), Register{}, 400},
		{"q above one", register(alice, "Contact: <sip:a@192.0.2.7>;q=1.1"), Register{}, 400},
		{"no user", register("<sip:example.net>"), Register{}, 400},
		{"a tel URI", register(alice, "Contact: <tel:+4420>"), Register{}, 400},
		{"to ourselves", register(alice, "Contact: <sip:a@203.0.113.20>"), Register{}, 403},
		{"to a group", register(alice, "Contact: <sip:a@224.0.0.1>"), Register{}, 403},
		{"eleven", register(alice, "Contact: "+strings.Repeat("<sip:a@192.0.2.7>,", 10)+"<sip:b@192.0.2.7>"), Register{}, 403},
		{"path unasked", register(alice, "Path: <sip:p@192.0.2.1;lr>"), Register{}, 420},
		{"long", register(alice, "Contact: <sip:"+strings.Repeat("a", maxText)+"@192.0.2.7>"), Register{}, 400},
	} {
		got, refusal := Parse(tt.req, limits)
		status := 0
		if refusal != nil {
			status = refusal.Status
		}
		if status != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, status, tt.status)
		} else if diff := cmp.Diff(tt.want, got); status == 0 && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestTooShortSaysHowShort(t *testing.T) {
	req := register(alice, "Contact: <sip:a@192.0.2.7>;expires=10")
	_, refusal := Parse(req, Limits{Shortest: 90 * time.Second})
	if res := refusal.Response(req, "t"); res.Status != 423 || res.Headers.Get("Min-Expires") != "90" {
		t.Errorf("%d, Min-Expires %q", res.Status, res.Headers.Get("Min-Expires"))
	}
}

func TestAnswer(t *testing.T) {
	req := register(alice, "Supported: outbound, path", "Path: <sip:p@192.0.2.1;lr>")
	res := Answer(req, "tag", []Bound{
		{Contact: Contact{URI: "sip:a@192.0.2.7", Q: 1000, For: 90*time.Second + 400*time.Millisecond}},
		{Contact: Contact{URI: "sip:b@192.0.2.8", Q: 50, For: time.Hour, Instance: "<urn:uuid:1>", RegID: 2}},
	})
	want := []string{"<sip:a@192.0.2.7>;expires=90", `<sip:b@192.0.2.8>;expires=3600;q=0.050;+sip.instance="<urn:uuid:1>";reg-id=2`}
	if diff := cmp.Diff(want, res.Headers.All("Contact")); diff != "" {
		t.Errorf("contacts (-want +got):\n%s", diff)
	}
	if res.Headers.Get("Require") != "outbound" || res.Headers.Get("Path") != "<sip:p@192.0.2.1;lr>" {
		t.Errorf("headers %v", res.Headers)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(alice, "<sip:a@192.0.2.7>;expires=90;q=0.5", "60", "<sip:p@192.0.2.1;lr>")
	f.Add(alice, "*", "0", "")
	f.Fuzz(func(t *testing.T, to, contact, expires, path string) {
		req := register(to, "Contact: "+contact, "Expires: "+expires, "Path: "+path, "Supported: path")
		reg, refusal := Parse(req, Limits{})
		if refusal != nil {
			return
		}
		for _, c := range reg.Contacts {
			if c.For < 0 || c.For > defaultLongest || c.Q > 1000 || strings.ContainsAny(c.URI, "\r\n<> ") {
				t.Errorf("%+v", c)
			}
		}
	})
}
