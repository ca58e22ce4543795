package node

import "sync/atomic"

// figures count what this node did to keep calls alive, since its start.
type figures struct {
	taken      atomic.Uint64 // addresses opened
	handedOver atomic.Uint64 // addresses handed over
	declared   atomic.Uint64 // members declared dead
	fenced     atomic.Uint64 // own lives that others declared dead
	conflicts  atomic.Uint64 // alarms: another host answers for an address
}
