package sip_test

import "strings"

// message makes a request or response of a start line and headers; what is not
// among the headers gets a good value, and a name with an empty value leaves it out.
func message(start string, headers ...string) []byte {
	defaults := []string{
		"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKtest",
		"From: <sip:1@192.0.2.9>;tag=a", "To: <sip:2@192.0.2.2>", "Call-ID: test", "CSeq: 1 OPTIONS",
		"Max-Forwards: 70",
	}
	var b strings.Builder
	b.WriteString(start + "\r\n")
	for _, d := range defaults {
		name, _, _ := strings.Cut(d, ":")
		given := false
		for _, h := range headers {
			if n, _, _ := strings.Cut(h, ":"); n == name {
				given = true
			}
		}
		if !given {
			b.WriteString(d + "\r\n")
		}
	}
	for _, h := range headers {
		if !strings.HasSuffix(h, ":") {
			b.WriteString(h + "\r\n")
		}
	}
	return []byte(b.String() + "\r\n")
}
