package fsm

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProfileLists(t *testing.T) {
	pauses, err := ParseResend("500, 1000,2000")
	if err != nil || !cmp.Equal(pauses, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}) {
		t.Errorf("pauses %v, %v", pauses, err)
	}
	causes, err := ParseCauses("503=480, 486=486;17 ;34=503, 500;41=;3")
	want := []Cause{
		{Status: 503, ToStatus: 480}, {Status: 486, ToStatus: 486, ToQ850: 17}, {Q850: 34, ToStatus: 503},
		{Status: 500, Q850: 41, ToQ850: 3},
	}
	if err != nil || !cmp.Equal(causes, want) {
		t.Errorf("causes %v, %v", causes, err)
	}
	codecs, err := ParseCodecs("PCMA, G729 opus")
	if err != nil || !cmp.Equal(codecs, []string{"PCMA", "G729", "opus"}) {
		t.Errorf("codecs %v, %v", codecs, err)
	}
	on, stop, err := ParseErrorCodes("404, -503")
	if err != nil || !cmp.Equal(on, []uint16{404}) || !cmp.Equal(stop, []uint16{503}) {
		t.Errorf("codes %v, %v, %v", on, stop, err)
	}
}

func TestProfileRefuses(t *testing.T) {
	for name, p := range map[string]Profile{
		"short session": {SessionExpires: time.Minute},
		"pause":         {Resend: "500,1"},
		"cause":         {Causes: "503"},
		"cause status":  {Causes: "200=503"},
		"cause q.850":   {Causes: "503=;0"},
		"codec":         {Codecs: "PCMA/8000"},
		"error code":    {ErrorCodes: "-200"},
	} {
		if r := p.check(); r.Code != Invalid {
			t.Errorf("%s: %s is taken", name, r.Code)
		}
	}
}

// TestNamed: the ingress chooses where the numbers of an INVITE are (F025).
func TestNamed(t *testing.T) {
	b := StartCall{Caller: "from", Callee: "uri", Identity: Identity{
		Display: "display", RemoteParty: "rpid", Asserted: "pai", Preferred: "ppi", Diversion: "diversion",
	}}
	for want, p := range map[string]Profile{
		"from uri": {}, "display uri": {CallerFrom: CallerDisplay}, "rpid uri": {CallerFrom: CallerRemoteParty},
		"pai uri": {CallerFrom: CallerAsserted}, "ppi diversion": {CallerFrom: CallerPreferred, CalleeFrom: CalleeDiversion},
	} {
		if caller, callee := b.named(&p); caller+" "+callee != want {
			t.Errorf("%s %s, want %s", caller, callee, want)
		}
	}
	if _, callee := b.named(&Profile{CalleeFrom: CalleeTo}); callee != "uri" {
		t.Errorf("callee %q: a header that is missing names nobody", callee)
	}
}
