package fsm_test

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/billing"
	"tandem/fsm"
)

// TestRegistry holds every entry to what the API and the command line rely on.
func TestRegistry(t *testing.T) {
	names := map[string]string{}
	for _, p := range fsm.Registry() {
		for _, name := range append([]string{p.Name}, p.Aliases...) {
			if other, taken := names[name]; taken {
				t.Errorf("%s is a name of %s and of %s", name, other, p.Name)
			}
			names[name] = p.Name
			if found, err := fsm.LookupParameter(strings.ToLower(name)); err != nil || found.Name != p.Name {
				t.Errorf("%s is found as %s, %v", name, found.Name, err)
			}
		}
		if p.About == "" || p.Group == "" || p.Kind == 0 {
			t.Errorf("%s is not described", p.Name)
		}
		for _, value := range []string{p.Default, p.Vendor} {
			if value == "" {
				continue
			}
			if text, err := p.Parse(value); err != nil || text != value {
				t.Errorf("%s: %q becomes %q, %v", p.Name, value, text, err)
			}
		}
		if text, err := p.Parse("none"); (err == nil) != p.Optional || err == nil && text != fsm.None {
			t.Errorf("%s: None becomes %q, %v", p.Name, text, err)
		}
	}
	if all := fsm.Registry(); !slices.IsSortedFunc(all, func(a, b fsm.Parameter) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the registry is not sorted")
	}
}

// TestDecidedDefaults pins the defaults that decisions and specification name.
func TestDecidedDefaults(t *testing.T) {
	for name, want := range map[string]string{
		"SS_SIP_SESSION_TTL": "1800", "SIP_SESSION_MIN_SE": "90", "CALL_MAX_DURATION": "14400", "RTP_TIMEOUT": fsm.None,
		"RTP_ALARM": "60", "SIP_TIMER_C": "180", "CALL_RING_TIME": "60", "SS_SIP_TIMEOUT_INVITE": "4",
		"SS_SIP_OPTIONS_CHECK_PERIOD": "30", "SIP_OPTIONS_MISSES": "3", "SNAPSHOT_ENTRIES": "50000",
		"TRAILING_LOGS": "100000", "CDR_DAYS_KEPT": "400", "CENTRAL_CROSS_ACCOUNT": "0",
		"SS_BLACK_LIST_MALICIOUS_CALL_LIMIT": fsm.None, "SS_BLACK_LIST_MALICIOUS_CALL_CHECK_INTERVAL": "600",
		"SS_BLACK_LIST_MALICIOUS_CALL_EXPIRE": "3600", "SS_BLACK_LIST_CALLER_CONCURRENT_EXPIRE": "86400",
		"SS_BLACK_LIST_NO_ANSWER_LIMIT": fsm.None, "SS_BLACK_LIST_NO_ANSWER_EXPIRE": "172800",
		"SERVER_LOGIN_FAILED_DISABLE_TIME": "30", "SS_MAX_LOGIN_FAILED": "5", "SERVER_BILLING_FEE_PRECISTION": "6",
		"SERVER_BILLING_HOLD_TIME_PRECISION": "50", "SERVER_BILLING_RECORD_ILLEGAL_CALL": "1",
		"SERVER_BILLING_RECORD_ZERO_HOLD_TIME": "1", "SS_ACCESS_IP_CHECK": "0", "SS_GATEWAY_SWITCH_LIMIT": fsm.None,
	} {
		if p, err := fsm.LookupParameter(name); err != nil || p.Default != want {
			t.Errorf("%s: default %q, %v; want %q", name, p.Default, err, want)
		}
	}
}

func TestDefaultParams(t *testing.T) {
	p := fsm.DefaultParams()
	if p.SessionExpires != 30*time.Minute || p.LoginLock != 30*time.Minute || p.HoldPrecision != 50*time.Millisecond ||
		p.MaliciousLimit != 0 || p.SwitchLimit != math.MaxUint32 || !p.RecordIllegal || p.CheckAccessIP || p.RTPTimeout != 0 {
		t.Errorf("%+v", p)
	}
	if r := p.Rounding(); r.Decimals() != 6 || r.Mode != billing.HalfUp {
		t.Errorf("rounding %+v", r)
	}
}

func TestParseParameter(t *testing.T) {
	tests := []struct{ name, value, canonical, want, err string }{
		{"ss_black_list_malicious_call_limit", "30", "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT", "30", ""},
		{"SS_BLACK_LIST_MALICIOUS_CALL_LIMIT", "off", "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT", "None", ""},
		{"SS_BLACK_LIST_NO_ANSWER_LIMIT", "1001", "", "", `parameter SS_BLACK_LIST_NO_ANSWER_LIMIT: "1001": a whole number from 1 to 1000 calls, or None is possible`},
		{"SS_BLACK_LIST_NO_ANSWER_LIMIT", "0", "", "", `parameter SS_BLACK_LIST_NO_ANSWER_LIMIT: "0": a whole number from 1 to 1000 calls, or None is possible`},
		{"SS_SIP_SESSION_TTL", "None", "", "", `parameter SS_SIP_SESSION_TTL: "None": a whole number from 90 to 86400 s is possible`},
		{"SS_SIP_SESSION_TTL", "1e3", "", "", `parameter SS_SIP_SESSION_TTL: "1e3": a whole number from 90 to 86400 s is possible`},
		{"SS_ACCESS_IP_CHECK", "Yes", "SS_ACCESS_IP_CHECK", "1", ""},
		{"SS_ACCESS_IP_CHECK", "2", "", "", `parameter SS_ACCESS_IP_CHECK: "2": 0 or 1 is possible`},
		{"SS_CLIENT_LOW_BALANCE_ALARM", "12.5", "SS_CLIENT_LOW_BALANCE_ALARM", "12.50", ""},
		{"SS_CLIENT_LOW_BALANCE_ALARM", "12,5", "", "", `parameter SS_CLIENT_LOW_BALANCE_ALARM: "12,5": amount "12,5": only digits and one decimal point, not ','`},
		{"SS_CALLERALLOWLENGTH", "15", "SS_CALLERALLOWLENGTH", "1-15", ""},
		{"BILLING_FEE_ROUNDING", "UP", "BILLING_FEE_ROUNDING", "up", ""},
		{"BILLING_FEE_ROUNDING", "floor", "", "", `parameter BILLING_FEE_ROUNDING: "floor": one of half-up, up, down, half-even is possible`},
		{"TRUSTED_NETWORKS", "10.0.0.0/8,2001:db8::1", "TRUSTED_NETWORKS", "10.0.0.0/8, 2001:db8::1", ""},
		{"TRUSTED_NETWORKS", "10.0.0.1/8", "", "", `parameter TRUSTED_NETWORKS: "10.0.0.1/8": "10.0.0.1/8": bits behind the length; is 10.0.0.0/8 meant? not an address`},
		{"SS_NOTHING", "1", "", "", `parameter "SS_NOTHING": unknown parameter`},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			canonical, value, err := fsm.ParseParameter(tt.name, tt.value)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v\nwant %s", err, tt.err)
				}
				return
			}
			if canonical != tt.canonical || value != tt.want || err != nil {
				t.Errorf("%s = %s, %v", canonical, value, err)
			}
		})
	}
	if _, err := fsm.LookupParameter("X"); !errors.Is(err, fsm.ErrParameter) {
		t.Error(err)
	}
}

func TestParamsOf(t *testing.T) {
	p, err := fsm.ParamsOf(maps.All(map[string]string{
		"SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT": "30", "SS_GATEWAY_SWITCH_LIMIT": "0", "SERVER_BILLING_FEE_PRECISION": "2",
		"BILLING_FEE_ROUNDING": "half-even", "SS_CALLERALLOWLENGTH": "3", "TIME_ZONE": "+02:00", "TRUSTED_NETWORKS": "10.0.0.0/8",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := fsm.DefaultParams()
	want.MaliciousLimit, want.SwitchLimit, want.FeePrecision, want.FeeRounding = 30, 0, 2, billing.HalfEven
	want.CallerLengths = 0b1110
	want.Zone = fsm.Zone{Name: "+02:00", Offset: 2 * time.Hour}
	want.TrustedNetworks = []fsm.Prefix{{IP: fsm.AddrFrom4([4]byte{10}, 0).IP, Bits: 104}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	back, err := p.With("SS_BLACK_LIST_MALICIOUS_CALL_LIMIT", "None")
	if err != nil || back.MaliciousLimit != 0 || p.MaliciousLimit != 30 {
		t.Errorf("%d, %v", back.MaliciousLimit, err)
	}
	if _, err := p.With("SS_SIP_SESSION_TTL", "1"); err == nil {
		t.Error("a value out of range was taken")
	}
}

func TestZone(t *testing.T) {
	const berlin = "Europe/Berlin +01:00 1774746000=+02:00 1792890000=+01:00"
	z, err := fsm.ParseZone(berlin)
	if err != nil || z.String() != berlin {
		t.Fatalf("%s, %v", z, err)
	}
	at := func(text string) fsm.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return fsm.Time(v.UnixMicro())
	}
	for text, want := range map[string]time.Duration{
		"2026-03-29T00:59:59.999999Z": time.Hour,
		"2026-03-29T01:00:00Z":        2 * time.Hour,
		"2026-10-25T00:59:59Z":        2 * time.Hour,
		"2026-10-25T01:00:00Z":        time.Hour,
	} {
		if got := z.At(at(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	utc := fsm.DefaultParams().Zone
	if a, b := z.Day(at("2026-07-01T21:59:59Z")), z.Day(at("2026-07-01T22:00:00Z")); b != a+1 || a != utc.Day(at("2026-07-01T12:00:00Z")) {
		t.Errorf("the day changes at local midnight: %d, %d", a, b)
	}
	if utc.Day(-1) != -1 || utc.Day(0) != 0 {
		t.Errorf("days around 1970: %d, %d", utc.Day(-1), utc.Day(0))
	}
	for _, text := range []string{"", "Berlin", "X +1:00", "X +01:60", "X +16:00", "X +01:00 5", "X +01:00 5=+02:00 5=+01:00", "X +01:00 -5=+02:00", "+0a:00"} {
		if z, err := fsm.ParseZone(text); err == nil {
			t.Errorf("%q was read as %s", text, z)
		}
	}
}

// FuzzParseParameter: what is kept of a value is read again as itself.
func FuzzParseParameter(f *testing.F) {
	for i, p := range fsm.Registry() {
		f.Add(uint8(i), p.Default)
	}
	f.Add(uint8(0), "Europe/Berlin +01:00 1774746000=+02:00")
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		all := fsm.Registry()
		p := all[int(which)%len(all)]
		text, err := p.Parse(value)
		if err != nil {
			return
		}
		if again, err := p.Parse(text); again != text || err != nil {
			t.Errorf("%s: %q is kept as %q, which is read as %q, %v", p.Name, value, text, again, err)
		}
		if _, err := fsm.DefaultParams().With(p.Name, text); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	})
}
