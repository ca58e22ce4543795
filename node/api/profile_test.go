package api

import (
	"reflect"
	"testing"
	"time"

	"tandem/fsm"
)

// TestProfileRoundTrip: what is shown of a profile is what it was set to, in every
// field and for every choice.
func TestProfileRoundTrip(t *testing.T) {
	for choice := uint64(0); choice < 6; choice++ {
		var p fsm.Profile
		v := reflect.ValueOf(&p).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.Bool:
				f.SetBool(choice%2 == 1)
			case reflect.Uint8:
				f.SetUint(min(choice, last(v.Type().Field(i).Name)))
			case reflect.Int64:
				f.SetInt(int64(time.Duration(choice+90) * time.Second))
			case reflect.String:
				f.SetString("500")
			default:
				t.Fatalf("a field of kind %s", f.Kind())
			}
		}
		shown := showProfile(&p)
		if got := readProfile(&shown); got != p {
			t.Errorf("%+v\nbecame %+v", p, got)
		}
	}
	shown := showProfile(&fsm.Profile{})
	if !reflect.ValueOf(shown).IsZero() {
		t.Errorf("the default is shown as %+v", shown)
	}
}

// last is the last choice of a field.
func last(field string) uint64 {
	choices := map[string][]string{
		"CallerFrom": callerSources(), "CalleeFrom": calleeSources(), "Privacy": privacyModes(), "Reliable": supports(), "Timer": supports(),
		"Asserted": identityModes(), "Preferred": identityModes(), "RemoteParty": identityModes(),
		"Redirect": redirectModes(), "DTMF": dtmfModes(), "Interrupt": interruptModes(),
	}
	if names, ok := choices[field]; ok {
		return uint64(len(names) - 1)
	}
	return uint64(len(switches()) - 1)
}
