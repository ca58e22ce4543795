package sip

// Stats are the endpoint's counters.
type Stats struct{}
