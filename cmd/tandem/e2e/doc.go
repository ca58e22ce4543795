//go:build e2e

// Package e2e is the acceptance test of the product: the real binary as three
// processes on loopback, set up by its own command line, with sipp as customers
// and as carriers around it.
//
// It looks at a cluster as a user would, through SIP, the API and the command
// line, and never into a process. What is charged is worked out again here, from
// what sipp saw and from the fields of the records, not with the product's own
// arithmetic.
//
//	make e2e
//	go test -tags e2e -run TestLeaderKilled -v ./cmd/tandem/e2e
//	TANDEM_E2E_FULL=1 go test -tags e2e -timeout 30m ./cmd/tandem/e2e
package e2e
