// Package signals does not give its own name. It owns nothing. Do not use it.
package sip

import (
	_ "github.com/emiago/sipgo"
	_ "github.com/hashicorp/raft"
	_ "os" // impure, and reached from fsm
	_ "tandem/chaos/sim"
	_ "testing"
)
