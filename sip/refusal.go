package sip

import (
	"slices"
	"strings"
)

// refusal says whether a request that parsed well cannot be served by this
// endpoint, whatever call control thinks (RFC 3261 section 8.2).
func (e *Endpoint) refusal(req *Request) (status int, extra []Header) {
	if req.Method == ACK || req.Method == CANCEL {
		return 0, nil
	}
	switch scheme, _, _ := strings.Cut(req.URI, ":"); strings.ToLower(scheme) {
	case "sip", "sips", "tel":
	default:
		return 416, nil
	}
	if _, err := ParseURI(req.URI); err != nil {
		return 400, nil
	}
	for _, tag := range splitList(req.Headers.All("Require")) {
		if !slices.Contains(e.cfg.Supported, strings.ToLower(tag)) {
			extra = append(extra, Header{"Unsupported", tag})
		}
	}
	if extra != nil {
		return 420, extra
	}
	if req.Method == INVITE && req.ToTag == "" && req.MaxForwards == 0 {
		return 483, nil // it would go on to another hop
	}
	return 0, nil
}
