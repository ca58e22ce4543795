package api

import (
	"time"

	"tandem/fsm"
	"tandem/node/api/client"
)

// The names of the choices in a profile, in the order of fsm's constants; the
// first is the default.
func callerSources() []string  { return []string{"auto", "from", "display", "rpid", "pai", "ppi"} }
func calleeSources() []string  { return []string{"uri", "to", "diversion"} }
func identityModes() []string  { return []string{"auto", "none", "pass", "caller"} }
func privacyModes() []string   { return []string{"honour", "pass", "id", "none"} }
func supports() []string       { return []string{"auto", "off", "required"} }
func redirectModes() []string  { return []string{"fail", "recurse", "pass"} }
func srtpModes() []string      { return []string{"pass", "off", "on"} }
func dtmfModes() []string      { return []string{"auto", "rtp", "info"} }
func interruptModes() []string { return []string{"both", "none", "here", "there", "either"} }
func switches() []string       { return []string{"system", "on", "off"} }

// chosen shows a choice; the default is absent.
func chosen(i int, names []string) string {
	if i == 0 {
		return ""
	}
	return nameOf(names, i)
}

func showProfile(p *fsm.Profile) client.Profile {
	return client.Profile{
		Trusted:    p.Trusted,
		CallerFrom: chosen(int(p.CallerFrom), callerSources()), CalleeFrom: chosen(int(p.CalleeFrom), calleeSources()),
		Asserted: chosen(int(p.Asserted), identityModes()), Preferred: chosen(int(p.Preferred), identityModes()),
		RemoteParty: chosen(int(p.RemoteParty), identityModes()),
		Privacy:     chosen(int(p.Privacy), privacyModes()), Diversion: p.Diversion,
		Reliable: chosen(int(p.Reliable), supports()), Timer: chosen(int(p.Timer), supports()),
		SessionExpires: client.Seconds(p.SessionExpires), Redirect: chosen(int(p.Redirect), redirectModes()),
		Progress: client.Seconds(p.Progress), Resend: p.Resend, Causes: p.Causes,
		Codecs: p.Codecs, DTMF: chosen(int(p.DTMF), dtmfModes()), SRTP: chosen(int(p.SRTP), srtpModes()), NoFax: p.NoFax,
		Interrupt: chosen(int(p.Interrupt), interruptModes()),
		AfterRing: chosen(int(p.AfterRing), switches()), AfterSDP: chosen(int(p.AfterSDP), switches()),
		AfterRTP: chosen(int(p.AfterRTP), switches()), AfterBusy: chosen(int(p.AfterBusy), switches()),
		AfterTimeout: chosen(int(p.AfterTimeout), switches()), ErrorCodes: p.ErrorCodes,
	}
}

func readProfile(in *client.Profile) fsm.Profile {
	identity := func(name string) fsm.IdentityMode { return fsm.IdentityMode(choose(name, identityModes())) }
	toggle := func(name string) fsm.Switch { return fsm.Switch(choose(name, switches())) }
	return fsm.Profile{
		Trusted:    in.Trusted,
		CallerFrom: fsm.CallerSource(choose(in.CallerFrom, callerSources())),
		CalleeFrom: fsm.CalleeSource(choose(in.CalleeFrom, calleeSources())),
		Asserted:   identity(in.Asserted), Preferred: identity(in.Preferred), RemoteParty: identity(in.RemoteParty),
		Privacy: fsm.PrivacyMode(choose(in.Privacy, privacyModes())), Diversion: in.Diversion,
		Reliable: fsm.Support(choose(in.Reliable, supports())), Timer: fsm.Support(choose(in.Timer, supports())),
		SessionExpires: time.Duration(in.SessionExpires), Redirect: fsm.RedirectMode(choose(in.Redirect, redirectModes())),
		Progress: time.Duration(in.Progress), Resend: in.Resend, Causes: in.Causes,
		Codecs: in.Codecs, DTMF: fsm.DTMFMode(choose(in.DTMF, dtmfModes())), SRTP: fsm.SRTPMode(choose(in.SRTP, srtpModes())), NoFax: in.NoFax,
		Interrupt: fsm.InterruptMode(choose(in.Interrupt, interruptModes())),
		AfterRing: toggle(in.AfterRing), AfterSDP: toggle(in.AfterSDP), AfterRTP: toggle(in.AfterRTP),
		AfterBusy: toggle(in.AfterBusy), AfterTimeout: toggle(in.AfterTimeout), ErrorCodes: in.ErrorCodes,
	}
}
