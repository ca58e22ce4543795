package client

// Profile says how a gateway's leg is treated. What is absent is left to the
// system.
type Profile struct {
	Trusted     bool   `json:"trusted,omitempty" doc:"Says who calls, and is told (RFC 3325)"`
	CallerFrom  string `json:"caller_from,omitempty" enum:"auto,from,display,rpid,pai,ppi" doc:"Where an ingress has the caller; absent: From, or P-Asserted-Identity where From is anonymous"`
	CalleeFrom  string `json:"callee_from,omitempty" enum:"uri,to,diversion" doc:"Where an ingress has the callee; absent: the Request-URI"`
	Asserted    string `json:"pai,omitempty" enum:"auto,none,pass,caller" doc:"P-Asserted-Identity that an egress gets; absent: between trusted gateways, as it came"`
	Preferred   string `json:"ppi,omitempty" enum:"auto,none,pass,caller" doc:"P-Preferred-Identity that an egress gets; absent: none"`
	RemoteParty string `json:"rpid,omitempty" enum:"auto,none,pass,caller" doc:"Remote-Party-ID that an egress gets; absent: none"`
	Privacy     string `json:"privacy,omitempty" enum:"honour,pass,id,none" doc:"What becomes of a caller's wish to stay anonymous; absent: an untrusted egress is told nobody"`
	Diversion   bool   `json:"diversion,omitempty" doc:"Diversion is passed on"`

	Reliable       string  `json:"reliable,omitempty" enum:"auto,off,required" doc:"100rel (RFC 3262); absent: where the other side wants it"`
	Timer          string  `json:"timer,omitempty" enum:"auto,off,required" doc:"Session timers (RFC 4028); absent: where the other side wants them"`
	SessionExpires Seconds `json:"session_expires,omitzero" doc:"Session interval, at least 90 s; 0: that of the system"`
	Redirect       string  `json:"redirect,omitempty" enum:"fail,recurse,pass" doc:"What a 3xx of an egress means; absent: it has failed"`
	Progress       Seconds `json:"progress,omitzero" doc:"Longest wait of an egress for a 18x after its 100; 0: that for ringing"`
	Resend         string  `json:"resend,omitempty" doc:"Pauses between repetitions over UDP, in ms; absent: those of RFC 3261" example:"500, 1000, 2000"`
	Causes         string  `json:"causes,omitempty" doc:"What failures become" example:"503=480, 486=486;17, ;34=503"`

	Codecs    string `json:"codecs,omitempty" doc:"Allowed codecs; absent: all" example:"PCMA, G729"`
	DTMF      string `json:"dtmf,omitempty" enum:"auto,rtp,info" doc:"The form of digits that the gateway gets; absent: as they come"`
	SRTP      string `json:"srtp,omitempty" enum:"pass,off,on" doc:"Whether the media of its leg is SRTP; absent: as the other leg has it"`
	NoFax     bool   `json:"no_fax,omitempty" doc:"T.38 is refused"`
	Interrupt string `json:"interrupt,omitempty" enum:"both,none,here,there,either" doc:"Which missing RTP ends a call after RTP_TIMEOUT; absent: that of both sides"`

	AfterRing    string `json:"after_ring,omitempty" enum:"system,on,off" doc:"Hunting goes on after the gateway has rung"`
	AfterSDP     string `json:"after_sdp,omitempty" enum:"system,on,off" doc:"Hunting goes on after it has sent SDP"`
	AfterRTP     string `json:"after_rtp,omitempty" enum:"system,on,off" doc:"Hunting goes on after RTP has come from it"`
	AfterBusy    string `json:"after_busy,omitempty" enum:"system,on,off" doc:"Hunting goes on when it says busy"`
	AfterTimeout string `json:"after_timeout,omitempty" enum:"system,on,off" doc:"Hunting goes on when it says nothing at all"`
	ErrorCodes   string `json:"error_codes,omitempty" doc:"Final answers on which hunting goes on besides the usual ones, or, with a minus, not" example:"404, -503"`
}
