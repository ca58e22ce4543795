package call

import (
	"tandem/fsm"
	"tandem/sip"
)

// mapped applies a gateway's mapping of failures to one (F027). The first line
// that matches counts.
func mapped(p *fsm.Profile, status int, cause uint8) (int, uint8) {
	if p.Causes == "" {
		return status, cause
	}
	causes, err := fsm.ParseCauses(p.Causes)
	if err != nil {
		return status, cause // it was checked when it was set
	}
	for _, m := range causes {
		if m.Status != 0 && int(m.Status) != status || m.Q850 != 0 && m.Q850 != cause {
			continue
		}
		if m.ToStatus != 0 {
			status = int(m.ToStatus)
		}
		if m.ToQ850 != 0 {
			cause = m.ToQ850
		}
		break
	}
	return status, cause
}

// failureOf is a gateway's final answer as its profile wants it to be understood.
func failureOf(p *fsm.Profile, res *sip.Response) outcome {
	status, cause := mapped(p, res.Status, peerCause(res.Headers))
	return outcome{status: status, cause: cause}
}
